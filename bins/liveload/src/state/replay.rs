//! More than a check result can say, by saying it more than once: a core that is
//! given as many results as the source made attempts, at the times at which the
//! source made them, arrives at the same attempt, the same kind of state and the
//! same last change.
//!
//! As each result of a soft problem counts as an attempt, it is remembered for
//! each object what the core was told last: 32 bytes in the ledger's file
//! `SITE.replay`, behind a line that names the format.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

use bstr::BString;
use nagios::check_result::{CheckResult, Full};
use objects::{StateType, UnixTime};
use program::{Failure, file};

use super::known::Known;
use crate::cli::Core;

const MAGIC: &[u8] = b"sitewire-replay 1\n";
/// Bytes of an object in the file.
const LENGTH: usize = 32;
/// Most attempts that are played again; a core allows more than anybody uses.
const MAX_ATTEMPTS: u32 = 100;
/// In the place of an attempt: the core counted none, because the host was not up.
const UNCOUNTED: u32 = 0;

/// What the core was told last of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    state: u8,
    is_hard: bool,
    attempt: u32,
    last_state_change: i64,
    last_check: i64,
}

/// The memory of what the core was told, and what follows from it.
pub(crate) struct Replay {
    path: PathBuf,
    told: HashMap<u64, Told>,
    /// The hosts of this dump that are not up, to a core for which problems of
    /// their services are hard at once. Hosts come before their services.
    down: Option<HashSet<BString>>,
    results: Vec<CheckResult>,
    /// Whether the last object was in another state when it was told last.
    pub(crate) is_new_spell: bool,
}

impl Replay {
    /// Reads what was told before. A file that is not ours is begun anew: then
    /// everything is played again, once.
    pub(crate) fn open(path: PathBuf, core: Core) -> Self {
        let told = fs::read(&path).ok().and_then(|bytes| parse(&bytes));
        Self {
            path,
            told: told.unwrap_or_default(),
            down: (core != Core::Icinga2).then(HashSet::new),
            results: Vec::new(),
            is_new_spell: true,
        }
    }

    /// What to tell the core so that it arrives at `record`; nothing where it is
    /// there. A record without complete state is told as it is.
    pub(crate) fn results(
        &mut self,
        record: &CheckResult,
        known: Option<&Known>,
    ) -> &[CheckResult] {
        self.results.clear();
        self.is_new_spell = true;
        let Some(full) = record.full.as_ref().filter(|full| full.has_been_checked) else {
            self.results.push(record.clone());
            return &self.results;
        };
        let key = key(record);
        let before = self.told.get(&key).copied();
        let mut now = Told {
            state: record.return_code,
            is_hard: full.state_type == StateType::Hard,
            attempt: full.current_attempt.clamp(1, MAX_ATTEMPTS),
            last_state_change: full.last_state_change.micros(),
            last_check: record.start_time.micros(),
        };
        if !self.host_is_up(record) && now.state != 0 && !now.is_known_hard(before) {
            now.attempt = UNCOUNTED;
        }
        self.told.insert(key, now);
        // What the core did not count is told again from the beginning.
        self.is_new_spell = before.is_none_or(|before| {
            !now.is_same_spell(before) || before.attempt == UNCOUNTED && now.attempt != UNCOUNTED
        });
        let service = record.service_description.as_deref().map(|name| &name[..]);
        let needed = known.and_then(|known| known.max_check_attempts(&record.host_name, service));
        play(
            record,
            full,
            before,
            now,
            needed.unwrap_or(0),
            &mut self.results,
        );
        &self.results
    }

    /// Whether the host of a service is up, as far as it matters. Takes note of
    /// hosts.
    fn host_is_up(&mut self, record: &CheckResult) -> bool {
        let Some(down) = &mut self.down else {
            return true;
        };
        if record.service_description.is_some() {
            return down.is_empty() || !down.contains(&record.host_name);
        }
        if record.return_code != 0 {
            down.insert(record.host_name.clone());
        }
        true
    }

    /// Remembers what was told, for the next dump.
    pub(crate) fn store(&self) -> Result<(), Failure> {
        program::file::replace(&self.path, 0o600, |out| {
            out.write_all(MAGIC)?;
            for (key, told) in &self.told {
                out.write_all(&key.to_le_bytes())?;
                out.write_all(&told.last_state_change.to_le_bytes())?;
                out.write_all(&told.last_check.to_le_bytes())?;
                out.write_all(&told.attempt.to_le_bytes())?;
                out.write_all(&[told.state, u8::from(told.is_hard), 0, 0])?;
            }
            Ok(())
        })
        .map_err(|error| file::failure(&self.path, error))
    }
}

impl Told {
    fn is_same_spell(&self, before: Told) -> bool {
        (before.state, before.last_state_change) == (self.state, self.last_state_change)
    }

    /// Whether the core knows the problem as hard after all its attempts.
    fn is_known_hard(&self, before: Option<Told>) -> bool {
        before.is_some_and(|before| {
            self.is_same_spell(before) && before.is_hard && before.attempt != UNCOUNTED
        })
    }
}

fn play(
    record: &CheckResult,
    full: &Full,
    before: Option<Told>,
    now: Told,
    needed: u32,
    results: &mut Vec<CheckResult>,
) {
    let at = |time: UnixTime, state: u8| CheckResult {
        return_code: state,
        start_time: time,
        finish_time: time,
        ..record.clone()
    };
    let changed = match full.last_state_change {
        never if never.is_never() => record.start_time,
        time => time.min(record.start_time),
    };
    let is_same_spell = before.is_some_and(|before| now.is_same_spell(before));
    if now.state == 0 {
        if !is_same_spell {
            // An OK state that ended and began again between two dumps: the core
            // notices a change only if it hears of what was between.
            if before.is_some_and(|before| before.state == 0) {
                results.push(at(changed, 1));
            }
            results.push(at(changed, 0));
        }
        results.push(record.clone());
        return;
    }
    if now.attempt == UNCOUNTED && is_same_spell && before.is_some_and(|b| b.attempt == UNCOUNTED) {
        results.push(record.clone());
        return;
    }
    // How many attempts the core has counted, if it is where it was left.
    let mut counted = match before {
        Some(before) if is_same_spell => before.attempt,
        _ => 0,
    };
    if counted == 0 {
        // From a problem of the same state it would not see a new one begin.
        if before.is_none_or(|before| before.state == now.state) {
            results.push(at(changed, 0));
        }
    }
    if now.attempt == UNCOUNTED {
        // The first one makes it hard, and so is its last change.
        results.push(at(changed, now.state));
        results.push(record.clone());
        return;
    }
    if now.is_hard {
        let wanted = now
            .attempt
            .max(full.max_check_attempts)
            .max(needed)
            .min(MAX_ATTEMPTS);
        if !now.is_known_hard(before) {
            while counted < wanted {
                results.push(at(changed, now.state));
                counted += 1;
            }
        }
        results.push(record.clone());
        return;
    }
    while counted + 1 < now.attempt {
        results.push(at(changed, now.state));
        counted += 1;
    }
    // The same attempt told again would be one more.
    if counted < now.attempt {
        results.push(record.clone());
    }
}

/// Names an object; a collision costs a wrong count of attempts, once.
fn key(record: &CheckResult) -> u64 {
    // Without keys of its own: what is stored must mean the same tomorrow.
    let mut hasher = std::hash::DefaultHasher::new();
    record.host_name.hash(&mut hasher);
    record.service_description.hash(&mut hasher);
    hasher.finish()
}

fn parse(bytes: &[u8]) -> Option<HashMap<u64, Told>> {
    let (objects, []) = bytes.strip_prefix(MAGIC)?.as_chunks::<LENGTH>() else {
        return None;
    };
    let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let told = |object: &[u8; LENGTH]| {
        let told = Told {
            state: object[28],
            is_hard: object[29] != 0,
            attempt: u32::from_le_bytes(object[24..28].try_into().expect("four bytes")),
            last_state_change: number(&object[8..16]),
            last_check: number(&object[16..24]),
        };
        (number(&object[..8]).cast_unsigned(), told)
    };
    Some(objects.iter().map(told).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: u8, hard: bool, attempt: u32, change: i64, check: i64) -> CheckResult {
        CheckResult {
            host_name: "h".into(),
            service_description: Some("s".into()),
            return_code: state,
            start_time: UnixTime::from_secs(check),
            finish_time: UnixTime::from_secs(check),
            full: Some(Full {
                state_type: if hard {
                    StateType::Hard
                } else {
                    StateType::Soft
                },
                current_attempt: attempt,
                max_check_attempts: 3,
                last_state_change: UnixTime::from_secs(change),
                ..Full::default()
            }),
            ..CheckResult::default()
        }
    }

    #[test]
    fn problems_of_a_host_that_is_down_are_told_again_when_it_is_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.replay");
        let host = |state: u8| CheckResult {
            service_description: None,
            ..record(state, true, 3, 1, 1)
        };
        for (name, is_up, record, want) in [
            (
                "soft",
                true,
                record(2, false, 1, 10, 10),
                &[(0, 10), (2, 10)][..],
            ),
            (
                "host down",
                false,
                record(2, false, 1, 10, 20),
                &[(2, 10), (2, 20)],
            ),
            ("still down", false, record(2, false, 1, 10, 30), &[(2, 30)]),
            (
                "up",
                true,
                record(2, false, 2, 10, 40),
                &[(0, 10), (2, 10), (2, 40)],
            ),
            (
                "hard",
                true,
                record(2, true, 3, 10, 50),
                &[(2, 10), (2, 50)],
            ),
            (
                "hard and down",
                false,
                record(2, true, 3, 10, 60),
                &[(2, 60)],
            ),
            ("hard and up", true, record(2, true, 3, 10, 70), &[(2, 70)]),
            (
                "well",
                false,
                record(0, true, 1, 80, 80),
                &[(0, 80), (0, 80)],
            ),
        ] {
            let mut replay = Replay::open(path.clone(), Core::Nagios);
            replay.results(&host(u8::from(!is_up)), None);
            let told: Vec<(u8, i64)> = replay
                .results(&record, None)
                .iter()
                .map(|result| (result.return_code, result.start_time.secs()))
                .collect();
            assert_eq!(told, want, "{name}");
            // Who takes the acknowledgement along with it gets it again.
            let is_new = want.contains(&(0, 10)) || name == "well";
            assert_eq!(replay.is_new_spell, is_new, "{name}");
            replay.store().unwrap();
        }
        let mut replay = Replay::open(directory.path().join("b"), Core::Icinga2);
        replay.results(&host(1), None);
        assert_eq!(replay.results(&record(2, false, 1, 10, 10), None).len(), 2);
    }

    #[test]
    fn a_core_is_told_what_brings_it_there_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.replay");
        for (name, record, want) in [
            (
                "first soft",
                record(2, false, 2, 10, 20),
                &[(0, 10), (2, 10), (2, 20)][..],
            ),
            ("once more", record(2, false, 2, 10, 20), &[]),
            ("next attempt", record(2, false, 3, 10, 30), &[(2, 30)]),
            ("hard", record(2, true, 3, 10, 30), &[(2, 30)]),
            ("checked again", record(2, true, 3, 10, 40), &[(2, 40)]),
            (
                "another problem",
                record(1, true, 3, 50, 60),
                &[(1, 50), (1, 50), (1, 50), (1, 60)],
            ),
            ("well", record(0, true, 1, 70, 80), &[(0, 70), (0, 80)]),
            ("still well", record(0, true, 1, 70, 90), &[(0, 90)]),
            (
                "well after a moment",
                record(0, true, 1, 95, 99),
                &[(1, 95), (0, 95), (0, 99)],
            ),
        ] {
            let mut replay = Replay::open(path.clone(), Core::Nagios);
            let told: Vec<(u8, i64)> = replay
                .results(&record, None)
                .iter()
                .map(|result| (result.return_code, result.start_time.secs()))
                .collect();
            assert_eq!(told, want, "{name}");
            replay.store().unwrap();
        }
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), MAGIC.len() + LENGTH);
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(Replay::open(path, Core::Nagios).told.len(), 0);
    }
}
