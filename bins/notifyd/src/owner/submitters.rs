//! The owner's side of the submission socket: who is answered after which commit.

use spool::submission::Answer;
use spool::{Accepted, Space, Storage};
use tokio::sync::mpsc::UnboundedSender;

use super::Owner;
use crate::clock;
use crate::submit::{Reply, Submitted};

/// Answers that are true as soon as the next commit is done.
pub(super) struct Answered {
    replies: Vec<Reply>,
    to: UnboundedSender<Vec<Reply>>,
}

impl Answered {
    /// To who may have gone away.
    pub(super) fn send(self) {
        let _ = self.to.send(self.replies);
    }
}

/// Submissions that came in.
pub(super) struct Held {
    submissions: Vec<Submitted>,
    to: UnboundedSender<Vec<Reply>>,
}

impl<S: Storage> Owner<S> {
    /// Keeps submissions until what was dropped before them has been read: who
    /// submits one of an object after the other may have used the drop box for
    /// the first, and their order counts.
    pub(super) fn hold_submitted(
        &mut self,
        submissions: Vec<Submitted>,
        to: UnboundedSender<Vec<Reply>>,
    ) {
        self.held.push(Held { submissions, to });
    }

    /// Takes in what was held.
    pub(super) fn take_submitted(&mut self) {
        let absorbs = !self.stopping && self.failing.is_none() && self.space < Space::Full;
        if absorbs && !self.intake.is_read(clock::instant()) {
            return;
        }
        let refuses = match () {
            () if self.stopping => Some("stopping"),
            () if self.space == Space::Full => Some("no space is left"),
            () if self.failing.is_some() => Some("the disk refuses records"),
            () => None,
        };
        for Held { submissions, to } in std::mem::take(&mut self.held) {
            let submissions = submissions.into_iter();
            match refuses {
                // At once: there may be no commit for long.
                Some(why) => {
                    let later = |Submitted { number, len, .. }| Reply {
                        number,
                        len,
                        answer: Answer::Later(why.to_owned()),
                    };
                    // Who has gone away finds out by asking again with the same id.
                    let _ = to.send(submissions.map(later).collect());
                }
                None => {
                    let replies = submissions.map(|submitted| self.take_in(submitted));
                    let replies = replies.collect();
                    self.submitted.push(Answered { replies, to });
                }
            }
        }
    }

    fn take_in(&mut self, Submitted { number, len, read }: Submitted) -> Reply {
        let accepted = read.and_then(|incoming| {
            let id = incoming.id;
            Ok((id, self.accept(incoming, None)?))
        });
        let answer = match accepted {
            Ok((id, Accepted::New)) => Answer::Stored(id),
            Ok((id, Accepted::Duplicate(_))) => Answer::Known(id),
            Err(refusal) => Answer::Refused(refusal.why),
        };
        Reply {
            number,
            len,
            answer,
        }
    }
}
