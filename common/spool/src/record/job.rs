//! One delivery of several that a notification may have in one lane.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use uuid::Uuid;

/// Keys are made in here.
const KEYS: Uuid = Uuid::from_u128(0x1d0c_51fe_8d0b_4a4f_a0e5_0a8f_7c11_3b92);

/// A lane and a detail of what is to be done there, which means nothing to the
/// spool. The detail stands in the journal where the job is assigned; elsewhere a
/// key that is made of both stands for it. Jobs with the same key are equal.
#[derive(Clone)]
pub struct Job(Arc<Parts>);

struct Parts {
    lane: Box<str>,
    key: Uuid,
    /// None where it is only named.
    detail: Option<Box<str>>,
}

impl Job {
    /// Names of lanes longer than [`super::MAX_LANE`] are cut.
    pub fn new(lane: &str, detail: &str) -> Self {
        let lane = &lane[..lane.floor_char_boundary(super::MAX_LANE)];
        let key = Uuid::new_v5(&Uuid::new_v5(&KEYS, lane.as_bytes()), detail.as_bytes());
        Self(Arc::new(Parts {
            lane: lane.into(),
            key,
            detail: Some(detail.into()),
        }))
    }

    /// As a record names it.
    pub(super) fn named(lane: &str, key: [u8; 16]) -> Self {
        Self(Arc::new(Parts {
            lane: lane.into(),
            key: Uuid::from_bytes(key),
            detail: None,
        }))
    }

    pub(super) fn key(&self) -> &[u8; 16] {
        self.0.key.as_bytes()
    }

    /// The name of its lane.
    pub fn lane(&self) -> &str {
        &self.0.lane
    }

    /// What is to be done there; none if the record that says so is not there any
    /// more.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// A few letters for people who have to tell apart the jobs of one lane.
    pub fn short(&self) -> String {
        let [a, b, c, d, ..] = self.key();
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let detail = self.detail().unwrap_or("?");
        write!(f, "Job({} {} {detail})", self.lane(), self.0.key)
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Job {}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

impl Hash for Job {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}
