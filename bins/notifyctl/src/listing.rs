//! What has not ended yet, read from the journal itself, so that it can be asked
//! whether notifyd runs or not; and which of it is meant.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::SystemTime;

use objects::{NotificationId, SiteId, UnixTime};
use program::{Failure, Status};
use spool::history::Snapshot;
use spool::record::{Event, Record};
use spool::{Message, Target, TargetState};

use crate::cli::hand::Selection;
use crate::words;

/// Notifications that have not ended.
pub(crate) struct Listing {
    /// In the order of acceptance.
    pub(crate) entries: Vec<Entry>,
    /// How many places of the journal are damaged.
    pub(crate) damages: usize,
}

/// One of them.
pub(crate) struct Entry {
    pub(crate) message: Message,
    pub(crate) about: About,
    /// What the last attempt at each target said.
    pub(crate) said: BTreeMap<Target, String>,
}

/// What a body says that is asked for here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) site: Option<SiteId>,
    pub(crate) host: Vec<u8>,
    pub(crate) service: Vec<u8>,
}

impl Listing {
    /// Reads the journal: once for what is open, and once for what the records
    /// of that say.
    pub(crate) fn read(spool: &Path, which: &Selection) -> Result<Self, Failure> {
        let Snapshot { open, recovery, .. } =
            spool::history::snapshot(spool).map_err(cannot_read)?;
        let now = SystemTime::now().into();
        let ids: HashSet<NotificationId> = which.ids.iter().copied().collect();
        let fits = |message: &Message| {
            (ids.is_empty() || ids.contains(&message.id)) && which.takes(message, now)
        };
        let open: Vec<Message> = open.into_iter().filter(fits).collect();
        let mut told = tell(spool, &open)?;
        let entries = open.into_iter().map(|message| {
            let (about, said) = told.remove(&message.id).unwrap_or_default();
            Entry {
                message,
                about,
                said,
            }
        });
        Ok(Self {
            entries: entries
                .filter(|entry| which.is_about(&entry.about))
                .collect(),
            damages: recovery.damages.len(),
        })
    }

    pub(crate) fn ids(&self) -> Vec<NotificationId> {
        self.entries.iter().map(|entry| entry.message.id).collect()
    }
}

type Told = (About, BTreeMap<Target, String>);

fn tell(spool: &Path, open: &[Message]) -> Result<HashMap<NotificationId, Told>, Failure> {
    let new = || -> HashMap<NotificationId, Told> {
        let ids = open.iter().map(|message| message.id);
        ids.map(|id| (id, Told::default())).collect()
    };
    let visit = |told: &mut HashMap<NotificationId, Told>, record: &Record<'_>| {
        let Record::Message { id, event, .. } = record else {
            return;
        };
        let Some((about, said)) = told.get_mut(id) else {
            return;
        };
        match event {
            Event::Accepted { body, .. } => *about = About::read(body),
            Event::Result { target, text, .. } => {
                said.insert(target.clone(), words::one_line(text, 200));
            }
            _ => {}
        }
    };
    spool::history::fold(spool, new, visit).map_err(cannot_read)
}

impl About {
    /// From a stored body; empty if it cannot be read.
    pub(crate) fn read(body: &[u8]) -> Self {
        let text = objects::notification::to_utf8(body);
        let Ok(envelope) = objects::Envelope::parse(&text) else {
            return Self::default();
        };
        let context = envelope.context().unwrap_or_default();
        let get = |name: &str| context.get(name).map(|value| value.to_vec());
        Self {
            site: Some(envelope.site),
            host: get("HOSTNAME").unwrap_or_default(),
            service: get("SERVICEDESC").unwrap_or_default(),
        }
    }

    /// `db1/Disk /`
    pub(crate) fn object(&self) -> String {
        let host = words::one_line(&self.host, 80);
        match self.service.as_slice() {
            [] => host,
            service => format!("{host}/{}", words::one_line(service, 80)),
        }
    }
}

impl Selection {
    /// What can be told without the body.
    fn takes(&self, message: &Message, now: UnixTime) -> bool {
        let waits_for = |target: &Target| {
            let is_open =
                |state: &TargetState| state.target.is_meant_by(target) && state.end.is_none();
            message.targets.iter().any(is_open)
        };
        let lane = self.lane.clone().map(Target::Lane);
        let target = lane.or_else(|| self.peer.clone().map(Target::Peer));
        let age = words::age_secs(message.accepted, now);
        target.is_none_or(|target| waits_for(&target))
            && (!self.held || message.held)
            && self
                .older_than
                .is_none_or(|than| u64::try_from(age).unwrap_or(0) >= than.as_secs())
    }

    fn is_about(&self, about: &About) -> bool {
        let same = |wanted: &Option<String>, is: &[u8]| {
            wanted.as_ref().is_none_or(|wanted| wanted.as_bytes() == is)
        };
        self.site
            .as_ref()
            .is_none_or(|site| about.site.as_ref() == Some(site))
            && same(&self.host, &about.host)
            && same(&self.service, &about.service)
    }
}

/// `db1/Disk /`, from the stored body.
pub(crate) fn object_of(body: &[u8]) -> String {
    About::read(body).object()
}

pub(crate) fn cannot_read(error: spool::Error) -> Failure {
    Failure::caused(Status::Failed, "cannot read the spool", error)
}
