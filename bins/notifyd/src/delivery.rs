//! One attempt to deliver one notification: what goes in, what comes out.

use std::sync::Arc;
use std::time::Duration;

use bstr::BString;
use objects::{Envelope, NotificationId, UnixTime};
use rules::Told;
use uuid::Uuid;

/// What a lane's worker is given, with the number by which its line knows it.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) number: u64,
    pub(crate) work: Work,
}

/// What is to be delivered at once.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    One(Job),
    /// Several of which one text is made.
    Together {
        jobs: Vec<Job>,
        why: Why,
    },
}

/// Why several are delivered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The configuration or the rules want it so.
    Bulk,
    /// There were too many for one each, they are late, or they are a problem and
    /// its end.
    Digest,
}

/// A notification that a lane is to deliver now.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: NotificationId,
    /// 1 for the first.
    pub(crate) attempt: u32,
    /// The stored body.
    pub(crate) body: String,
    /// What the rules said of it.
    pub(crate) told: Arc<Told>,
    /// It is older than the lane's `late_after`.
    pub(crate) is_late: bool,
}

impl Job {
    /// The same at every attempt, whatever happens in between: a mail's
    /// `Message-ID`, a plugin's `NOTIFY_JOB_ID`.
    pub(crate) fn id_in(&self, lane: &str) -> Uuid {
        let contacts = self.told.names().map(|name| name.as_slice());
        let parameters = &self.told.parameters;
        self.id.job_id_with(lane, parameters, contacts)
    }
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
    /// How long the other side wants to be left alone, if it says so.
    pub(crate) retry_after: Option<Duration>,
}

impl Outcome {
    pub(crate) fn new(verdict: Verdict, text: impl Into<BString>) -> Self {
        Self {
            verdict,
            text: text.into(),
            retry_after: None,
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
