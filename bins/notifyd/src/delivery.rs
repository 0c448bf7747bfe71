//! One attempt to deliver one notification: what goes in, what comes out.

use bstr::BString;
use objects::{Envelope, NotificationId, UnixTime};

/// A notification that a lane is to deliver now.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: NotificationId,
    /// 1 for the first.
    pub(crate) attempt: u32,
    /// The stored body.
    pub(crate) body: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    /// Worth another attempt.
    Temporary,
    /// Another attempt would end the same way.
    Permanent,
}

/// An attempt's verdict and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// One line for people, then what the plugin printed, if anything.
    pub(crate) text: BString,
}

impl Outcome {
    pub(crate) fn new(verdict: Verdict, text: impl Into<BString>) -> Self {
        Self {
            verdict,
            text: text.into(),
        }
    }
}

/// What a lane reads of a stored body. Bodies were checked when they were
/// accepted, so a failure here is one of the disk or of a later release.
pub(crate) fn open(job: &Job) -> Result<(Envelope<'_>, objects::notification::Context), Outcome> {
    let permanent = |error: objects::notification::Error| {
        Outcome::new(Verdict::Permanent, program::exit::chain(&error))
    };
    let envelope = Envelope::parse(&job.body).map_err(permanent)?;
    let context = envelope.context().map_err(permanent)?;
    Ok((envelope, context))
}

/// Seconds since the event, never negative: the clocks of two sites differ.
pub(crate) fn delay_secs(created: UnixTime, now: UnixTime) -> i64 {
    (now.secs() - created.secs()).max(0)
}
