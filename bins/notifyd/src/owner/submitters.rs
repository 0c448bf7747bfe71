//! The owner's side of the submission socket: who is answered after which commit.

use spool::submission::Answer;
use spool::{Accepted, Space, Storage};
use tokio::sync::mpsc::UnboundedSender;

use super::Owner;
use crate::clock;
use crate::route::Incoming;
use crate::submit::Reply;

/// An answer that is true as soon as the next commit is done.
pub(super) struct Submitted {
    reply: Reply,
    to: UnboundedSender<Reply>,
}

impl Submitted {
    fn send(self) {
        // Who has gone away finds out by asking again with the same id.
        let _ = self.to.send(self.reply);
    }
}

/// A submission that came in.
pub(super) struct Held {
    number: u64,
    body: Vec<u8>,
    to: UnboundedSender<Reply>,
}

impl<S: Storage> Owner<S> {
    /// Keeps a submission until what was dropped before it has been read: who
    /// submits one of an object after the other may have used the drop box for
    /// the first, and their order counts.
    pub(super) fn hold_submitted(
        &mut self,
        number: u64,
        body: Vec<u8>,
        to: UnboundedSender<Reply>,
    ) {
        self.held.push(Held { number, body, to });
    }

    /// Takes in what was held.
    pub(super) fn take_submitted(&mut self) {
        let absorbs = !self.stopping && self.failing.is_none() && self.space < Space::Full;
        if absorbs && !self.intake.is_read(clock::instant()) {
            return;
        }
        for Held { number, body, to } in std::mem::take(&mut self.held) {
            self.handle_submitted(number, &body, to);
        }
    }

    /// Takes a notification in, or says at once why not now.
    fn handle_submitted(&mut self, number: u64, body: &[u8], to: UnboundedSender<Reply>) {
        let submitted = |answer| Submitted {
            reply: Reply {
                number,
                len: body.len(),
                answer,
            },
            to,
        };
        let later = |why: &str| Answer::Later(why.to_owned());
        if self.stopping {
            return submitted(later("stopping")).send();
        }
        if self.space == Space::Full {
            return submitted(later("no space is left")).send();
        }
        if self.failing.is_some() {
            return submitted(later("the disk refuses records")).send();
        }
        let accepted = Incoming::read(body, &self.site).and_then(|incoming| {
            let id = incoming.id;
            Ok((id, self.accept(incoming, None)?))
        });
        let answer = match accepted {
            Ok((id, Accepted::New)) => Answer::Stored(id),
            Ok((id, Accepted::Duplicate(_))) => Answer::Known(id),
            Err(refusal) => Answer::Refused(refusal.why),
        };
        self.submitted.push(submitted(answer));
    }

    /// What was submitted is durable.
    pub(super) fn answer_submitters(&mut self) {
        for submitted in self.submitted.drain(..) {
            submitted.send();
        }
    }
}
