//! What waits for a lane, in memory. The journal is the truth; this is rebuilt
//! from it at every start. What waits for peers: `forward_line`.

mod breaker;
mod line;
mod storm;

use std::sync::Arc;
use std::time::Duration;

use objects::NotificationId;
use objects::notification::Context;
use rules::Told;
use spool::Target;

use crate::config::Retry;

pub(crate) use line::{Line, New, NextTry, Ticket, Together, Turn};

/// What keeps its order: host and service of a notification, and where it
/// matters more than that, as one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Object(Arc<[u8]>);

/// `HOST`, or `HOST;SERVICE`.
impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = self.0.split(|byte| *byte == 0);
        let parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty()).collect();
        f.write_str(&program::log::quote(&parts.join(&b';'), 200))
    }
}

impl Object {
    /// The object of these names; that of a host has no service.
    pub(crate) fn of(host: &[u8], service: &[u8]) -> Self {
        Self::named([host, service])
    }

    /// What all of these together name.
    pub(crate) fn named<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let parts: Vec<&[u8]> = parts.into_iter().collect();
        // No value has a NUL in it by the time a plugin sees it.
        Self(parts.join(&0).into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same for the same object; seldom the same for two. It stands in the
    /// journal, so no release may compute it in another way than those before it.
    pub(crate) fn number(&self) -> u32 {
        crc32c::crc32c(&self.0)
    }
}

/// Where a job goes, and who gets it: many share one.
#[derive(Debug)]
pub(crate) struct Aim {
    /// What the journal calls it.
    pub(crate) target: Target,
    /// Only what has the same here can be told together.
    pub(crate) recipients: Box<[u8]>,
    /// Names of those who get it, one at least, if only an empty one.
    pub(crate) contacts: Vec<String>,
    /// What the rules said.
    pub(crate) told: Arc<Told>,
}

/// What a notification says about its object, as far as others are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matter {
    Problem,
    Recovery,
    Other,
}

impl Matter {
    /// What `context` says.
    pub(crate) fn of(context: &Context) -> Self {
        match context.get("NOTIFICATIONTYPE").map(|word| word.as_slice()) {
            Some(b"PROBLEM") => Self::Problem,
            Some(b"RECOVERY") => Self::Recovery,
            _ => Self::Other,
        }
    }
}

/// The pause after the `attempts`th failure: doubling, up to the longest, and
/// up to a fifth shorter, so that what failed together is not tried together.
pub(crate) fn pause(retry: Retry, attempts: u32, id: NotificationId) -> Duration {
    let doubled = retry.first.saturating_mul(
        1u32.checked_shl(attempts.saturating_sub(1))
            .unwrap_or(u32::MAX),
    );
    let pause = doubled.min(retry.longest.max(retry.first));
    // The id's last bytes are random, and the attempt shifts them.
    let bytes = id.as_bytes();
    let random = u32::from(bytes[15]).wrapping_add(attempts.wrapping_mul(97)) % 256;
    pause - pause.mul_f64(f64::from(random) / 256.0 * 0.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_number_it_always_had() {
        for (host, service, want) in [
            ("", "", 0x527d_5351),
            ("db1", "", 0x7564_926c),
            ("db1", "Disk /", 0x9af6_4f5c),
            ("db1Disk /", "", 0x541c_7ea2),
        ] {
            let object = Object::of(host.as_bytes(), service.as_bytes());
            assert_eq!(object.number(), want, "{host}, {service}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = Retry {
            first: Duration::from_secs(30),
            longest: Duration::from_secs(900),
            expire: Duration::from_secs(3600),
        };
        for (attempts, want) in [
            (1, 30),
            (2, 60),
            (3, 120),
            (6, 900),
            (40, 900),
            (u32::MAX, 900),
        ] {
            for n in [0, 127, 255] {
                let id = NotificationId::from_bytes([n; 16]);
                let pause = pause(retry, attempts, id).as_secs_f64();
                let want = f64::from(want);
                assert!(pause <= want && pause >= want * 0.8, "{attempts}: {pause}");
            }
        }
    }
}
