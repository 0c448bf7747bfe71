//! Sending the results to openITCOCKPIT's server: each new document, and of
//! several that have to wait only the newest.

mod client;
mod identity;
mod session;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::board::Board;
use crate::config::Config;
use crate::server::Figures;
use session::{Outcome, Session};

/// The longest pause while the server cannot be reached.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// The first and the longest pause when it refuses us.
const REFUSED: Duration = Duration::from_secs(60);
const MAX_REFUSED: Duration = Duration::from_secs(900);
/// The same trouble is told so often.
const REMINDER: Duration = Duration::from_secs(3600);

/// Who pushes, until it is stopped.
pub(crate) struct Pushing {
    task: JoinHandle<()>,
}

/// All that pushing needs and that may not be had.
pub(crate) struct Prepared {
    session: Session,
    interval: Duration,
}

/// Reads who we are, and with what the server is spoken to.
pub(crate) fn prepare(config: &Config, hostname: String) -> Result<Prepared, String> {
    Ok(Prepared {
        session: Session::new(&config.push, hostname).map_err(|what| format!("[oitc] {what}"))?,
        interval: config.checks.interval,
    })
}

/// Whether there is anything wrong with it. Changes nothing.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    session::check(&config.push).map_err(|what| format!("[oitc] {what}"))
}

/// Pushes from now on.
pub(crate) fn start(prepared: Prepared, board: Board, figures: Arc<Figures>) -> Pushing {
    let Prepared { session, interval } = prepared;
    let push = Push {
        session: Some(session),
        troubles: Troubles::default(),
        figures,
        interval,
    };
    Pushing {
        task: tokio::spawn(push.run(board)),
    }
}

impl Pushing {
    pub(crate) fn stop(self) {
        self.task.abort();
    }
}

struct Push {
    /// None while it is at work in a thread of its own.
    session: Option<Session>,
    troubles: Troubles,
    figures: Arc<Figures>,
    interval: Duration,
}

impl Push {
    async fn run(mut self, board: Board) {
        let mut documents = board.changed();
        let mut inventories = board.inventory_changed();
        // Agents that were started together need not push together.
        let spread = self.interval.mul_f64(0.1).min(Duration::from_secs(3));
        let spread = spread.mul_f64(random());
        let mut new_inventory = board.packages().collected.is_some();
        let mut pause = Duration::ZERO;
        if board.document().collected.is_some() {
            documents.mark_changed();
        }
        loop {
            tokio::time::sleep(pause).await;
            tokio::select! {
                changed = documents.changed() => if changed.is_err() { return },
                changed = inventories.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    new_inventory = true;
                    continue;
                }
            }
            tokio::time::sleep(spread).await;
            documents.mark_unchanged();
            let document = board.document().json.clone();
            let outcome = self.blocking(move |session| session.push(&document)).await;
            pause = self.note(&outcome);
            if matches!(outcome, Outcome::Taken(_)) && std::mem::take(&mut new_inventory) {
                new_inventory = self.push_inventory(&board).await;
            }
        }
    }

    /// Whether it must be done again.
    async fn push_inventory(&mut self, board: &Board) -> bool {
        let packages = board.packages();
        if !packages.inventory.enabled || packages.inventory.pending {
            return false;
        }
        let json = packages.json.clone();
        let outcome = self
            .blocking(move |session| match session.is_registered() {
                true => session.push_inventory(&json),
                false => Outcome::Waiting,
            })
            .await;
        match &outcome {
            Outcome::Taken(_) => tracing::info!("the inventory of software has been pushed"),
            Outcome::Waiting => {}
            Outcome::Rejected(what) | Outcome::Refused(what) | Outcome::Unreachable(what) => {
                tracing::warn!("cannot push the inventory of software: {what}");
            }
        }
        matches!(outcome, Outcome::Unreachable(_) | Outcome::Waiting)
    }

    async fn blocking(
        &mut self,
        work: impl FnOnce(&mut Session) -> Outcome + Send + 'static,
    ) -> Outcome {
        let Some(mut session) = self.session.take() else {
            return Outcome::Refused("an earlier attempt has failed badly".to_owned());
        };
        let work = tokio::task::spawn_blocking(move || {
            let outcome = work(&mut session);
            (session, outcome)
        });
        match work.await {
            Ok((session, outcome)) => {
                self.session = Some(session);
                outcome
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    }

    /// Tells of it, and how long to wait.
    fn note(&mut self, outcome: &Outcome) -> Duration {
        let counter = match outcome {
            Outcome::Taken(_) => &self.figures.pushes,
            _ => &self.figures.pushes_failed,
        };
        counter.fetch_add(1, Relaxed);
        self.troubles.note(outcome, self.interval, Instant::now())
    }
}

/// What has gone wrong since the last success.
#[derive(Default)]
struct Troubles {
    in_a_row: u32,
    told: Option<(String, Instant)>,
}

impl Troubles {
    fn note(&mut self, outcome: &Outcome, interval: Duration, now: Instant) -> Duration {
        let (first, longest) = match outcome {
            Outcome::Taken(checks) => {
                if self.told.take().is_some() {
                    tracing::warn!("the server takes what is pushed again");
                }
                tracing::debug!("the server has taken {checks} checks");
                self.in_a_row = 0;
                return Duration::ZERO;
            }
            Outcome::Waiting => {
                self.tell("waiting for registration on the server", now);
                return Duration::ZERO;
            }
            // With the next document all may be well.
            Outcome::Rejected(what) => {
                self.tell(
                    &format!("the server does not take what is pushed: {what}"),
                    now,
                );
                return Duration::ZERO;
            }
            Outcome::Refused(what) => {
                self.tell(&format!("cannot push: {what}"), now);
                (REFUSED, MAX_REFUSED)
            }
            Outcome::Unreachable(what) => {
                self.tell(&format!("cannot push: {what}"), now);
                (interval, MAX_PAUSE.max(interval))
            }
        };
        let pause = first
            .saturating_mul(1 << self.in_a_row.min(10))
            .min(longest);
        self.in_a_row += 1;
        // Between half of it and all of it.
        pause.mul_f64(0.5 + random() / 2.0)
    }

    fn tell(&mut self, text: &str, now: Instant) {
        let is_known = self
            .told
            .as_ref()
            .is_some_and(|(told, at)| told == text && now.duration_since(*at) < REMINDER);
        if is_known {
            tracing::debug!("{text}");
        } else {
            tracing::error!("{text}");
            self.told = Some((text.to_owned(), now));
        }
    }
}

/// Between 0 and 1.
fn random() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_end_with_success() {
        let seconds = Duration::from_secs;
        let now = Instant::now();
        for (outcome, first, longest) in [
            (Outcome::Unreachable(String::new()), 30, 300),
            (Outcome::Refused(String::new()), 60, 900),
        ] {
            let mut troubles = Troubles::default();
            let mut note = |outcome: &Outcome| troubles.note(outcome, seconds(30), now);
            let pause = note(&outcome);
            assert!((seconds(first / 2)..=seconds(first)).contains(&pause));
            for _ in 0..40 {
                assert!(note(&outcome) <= seconds(longest));
            }
            assert!(note(&outcome) >= seconds(longest / 2));
            assert_eq!(note(&Outcome::Taken(3)), Duration::ZERO);
            assert!(note(&outcome) <= seconds(first));
        }
        let mut troubles = Troubles::default();
        for outcome in [Outcome::Waiting, Outcome::Rejected(String::new())] {
            assert_eq!(troubles.note(&outcome, seconds(30), now), Duration::ZERO);
        }
    }
}
