//! The owner's side of the control socket: what people do with notifications.

use std::collections::HashSet;

use objects::NotificationId;
use program::exit::chain;
use serde_json::{Value, json};
use spool::control::{Action, Answer, Hand, Question};
use spool::{End, Known, Settled, Storage, Target};
use tokio::sync::oneshot;

use super::{Owner, now};
use crate::clock;
use crate::waiting::{Aim, Together};

/// Most deliveries told in one answer.
const RETRIES: usize = 10_000;

/// An answer that is true as soon as the next commit is done.
pub(super) struct Asked {
    answer: Answer,
    to: oneshot::Sender<Answer>,
}

impl<S: Storage> Owner<S> {
    /// Does what is asked for, or says at once why not now.
    pub(super) fn handle_question(&mut self, question: Question, to: oneshot::Sender<Answer>) {
        let answer = match question {
            Question::Act {
                action,
                ids,
                target,
                hand,
            } => self.act(action, &ids, target.as_ref(), &hand),
            Question::Flush(hand) => self.flush(&hand),
            Question::Pause { lane, length, hand } => self.pause(lane, length, &hand),
            Question::Resume { lane, hand } => self.resume(lane.as_deref(), &hand),
            Question::Retries => Answer::Told(self.retries()),
            Question::Known(ids) => {
                let word = |id: &NotificationId| match self.queue.knows(*id) {
                    Some(Known::Open) => "open",
                    Some(Known::Ended) => "ended",
                    None => "unknown",
                };
                Answer::Told(ids.iter().map(word).collect())
            }
            Question::Reload(_) | Question::State => {
                unreachable!("answered by others")
            }
        };
        self.asked.push(Asked { answer, to });
    }

    /// What was asked for is durable.
    pub(super) fn answer_questions(&mut self) {
        for asked in self.asked.drain(..) {
            // Who has gone away finds out by asking again.
            let _ = asked.to.send(asked.answer);
        }
    }

    /// It is not, and nobody knows when it will be.
    pub(super) fn put_off_questions(&mut self, why: &str) {
        for asked in self.asked.drain(..) {
            let _ = asked.to.send(Answer::Error {
                why: why.to_owned(),
                again: true,
            });
        }
    }

    fn act(
        &mut self,
        action: Action,
        ids: &[NotificationId],
        target: Option<&Target>,
        hand: &Hand,
    ) -> Answer {
        if self.stopping || self.failing.is_some() {
            return Answer::Error {
                why: match self.stopping {
                    true => "stopping".to_owned(),
                    false => "the disk refuses records".to_owned(),
                },
                again: true,
            };
        }
        let detail = hand.to_string();
        let (mut done, mut not) = (HashSet::new(), Vec::new());
        for id in ids {
            let is_done = match action {
                Action::Hold => self.queue.hold(*id, &detail, now()),
                Action::Release => self.release(*id, &detail),
                Action::Retry => self.queue.ask_retry(*id, &detail, now()),
                Action::Drop => self.drop_by_hand(*id, target, &detail),
            };
            if is_done {
                tracing::info!(%id, "{} {detail}", action.word());
                done.insert(*id);
            } else {
                not.push(*id);
            }
        }
        match action {
            Action::Hold => self.take_out(&done, None),
            Action::Drop => self.take_out(&done, target),
            Action::Retry => {
                for lane in &mut self.lanes {
                    lane.line.hurry(Some(&done), clock::instant());
                }
                self.decide_again(done.iter().copied());
            }
            Action::Release => {}
        }
        Answer::Done {
            done: done.len() as u64,
            not,
        }
    }

    /// Takes these out of the lines of all lanes, or of one target.
    fn take_out(&mut self, ids: &HashSet<NotificationId>, target: Option<&Target>) {
        for lane in &mut self.lanes {
            let is_meant = |aim: &Aim| target.is_none_or(|target| aim.target.is_meant_by(target));
            lane.line.take_out(ids, is_meant, clock::instant());
        }
    }

    fn release(&mut self, id: NotificationId, detail: &str) -> bool {
        if !self.queue.release(id, detail, now()) {
            return false;
        }
        if let Some(message) = self.queue.message(id)
            && let Err(error) = self.restore(&message, &mut Default::default())
        {
            // It is in no line until the next start.
            tracing::error!(%id, "released, but not readable: {}", chain(&error));
        }
        true
    }

    fn drop_by_hand(&mut self, id: NotificationId, target: Option<&Target>, detail: &str) -> bool {
        match target {
            None => {
                self.report(id, None, 0, End::Dropped, detail.as_bytes());
                self.queue.end(id, End::Dropped, detail, now())
            }
            Some(Target::Peer(peer)) => {
                self.settle_forward(id, peer, End::Dropped, detail) != Settled::Unknown
            }
            // All of its jobs.
            Some(lane) => {
                let targets = self.queue.message(id).map_or(Vec::new(), |m| m.targets);
                let meant = targets.iter().filter(|t| t.target.is_meant_by(lane));
                let mut settle =
                    |target| self.queue.settle(id, target, End::Dropped, detail, now());
                let settled = meant.filter(|t| settle(&t.target) != Settled::Unknown);
                settled.count() > 0
            }
        }
    }

    /// Everything that waits for a moment has its moment now. Links are woken
    /// by whoever asked.
    fn flush(&mut self, hand: &Hand) -> Answer {
        let at = clock::instant();
        self.intake.wake(at);
        let lanes = self.lanes.iter_mut();
        let hurried = lanes.map(|lane| lane.line.hurry(None, at)).sum();
        tracing::info!("flush {hand}: {hurried} deliveries are tried again now");
        Answer::Done {
            done: hurried,
            not: Vec::new(),
        }
    }

    fn retries(&self) -> Value {
        let mut all = Vec::new();
        for lane in &self.lanes {
            let left = RETRIES - all.len();
            all.extend(lane.next_tries(clock::instant()).take(left).map(|retry| {
                json!({
                    "id": retry.id.to_string(),
                    "lane": lane.name,
                    "target": retry.aim.target.to_string(),
                    "attempts": retry.attempts,
                    "next_s": retry.pause.map(|pause| pause.as_secs_f64()),
                    "together": retry.why.map(Together::words),
                })
            }));
        }
        all.into()
    }
}
