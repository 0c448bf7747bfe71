//! The one judge of all fault tests of the spooler: what was accepted, against
//! what became of it at every site. It says everything that is wrong.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::journal::{self, STORED_BY_PEER, Told};

/// A notification that a submitter was told is durable.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its id, as a UUID.
    pub id: String,
    /// Host and service: notifications of one object keep their order.
    pub object: String,
    /// Counts those of one object, in the order of their acceptance.
    pub number: u64,
    /// Of the body as it was submitted.
    pub crc: u32,
}

/// One site as it was left.
#[derive(Debug, Clone)]
pub struct Place {
    /// The site's id.
    pub name: String,
    /// Its spool.
    pub spool: PathBuf,
    /// Its state file.
    pub state: PathBuf,
}

/// All that the judge looks at. Everything is healed and the daemons have ended.
pub struct Case<'a> {
    /// What submitters were promised.
    pub accepted: &'a [Accepted],
    /// From where they are submitted to where they end.
    pub places: &'a [Place],
    /// Lines `ID ATTEMPT`, if the last place delivers.
    pub delivered: Option<&'a Path>,
    /// What the daemons said.
    pub logs: &'a [String],
    /// Whether the last place may have dropped what had ended: because its disk was
    /// full, or because syncs failed so often that it has too many segments. What it
    /// delivered is the witness then.
    pub may_forget: bool,
}

/// What was found, for the report.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Everything that is wrong; empty is good.
    pub violations: Vec<String>,
    /// Deliveries repeated with a higher attempt, as they may be after a kill.
    pub repeated: usize,
    /// Ends other than stored by a peer or delivered.
    pub other_ends: usize,
}

impl Case<'_> {
    /// Looks at everything.
    pub fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let journals: Vec<BTreeMap<String, Told>> = self
            .places
            .iter()
            .map(|place| journal::read(&place.spool))
            .collect();
        for (place, journal) in self.places.iter().zip(&journals) {
            check_journal(place, journal, &mut verdict);
            self.check_directory(place, &mut verdict);
            check_state(place, &mut verdict);
        }
        let delivered = self.check_delivered(&mut verdict);
        if let Some(last) = journals.last() {
            self.check_accepted(&journals, last, delivered.as_ref(), &mut verdict);
        }
        for line in self.logs {
            if line.contains("panicked") || line.contains("RUST_BACKTRACE") {
                verdict.wrong(format!("a daemon said: {line}"));
            }
        }
        verdict
    }

    /// Nothing lost, nothing changed, order of each object kept.
    fn check_accepted(
        &self,
        journals: &[BTreeMap<String, Told>],
        last: &BTreeMap<String, Told>,
        delivered: Option<&HashMap<String, usize>>,
        verdict: &mut Verdict,
    ) {
        let mut latest: HashMap<&str, (u64, u64)> = HashMap::new();
        let mut latest_delivery: HashMap<&str, (u64, usize)> = HashMap::new();
        let mut accepted: Vec<&Accepted> = self.accepted.iter().collect();
        accepted.sort_by_key(|one| (&one.object, one.number));
        for one in accepted {
            let id = one.id.replace('-', "");
            let ended_before = journals[..journals.len() - 1].iter().any(|journal| {
                let ends = journal.get(&id).map_or(&[][..], |told| &told.ends);
                ends.iter().any(|end| *end != STORED_BY_PEER)
            });
            let at = delivered.and_then(|delivered| delivered.get(&id));
            if let Some(at) = at {
                let before = latest_delivery.insert(&one.object, (one.number, *at));
                if let Some((number, before)) = before
                    && before > *at
                {
                    verdict.wrong(format!(
                        "{}: number {} was delivered before number {number}",
                        one.object, one.number
                    ));
                }
            }
            let Some(told) = last.get(&id).filter(|told| !told.accepted.is_empty()) else {
                if ended_before {
                    verdict.other_ends += 1;
                } else if !(self.may_forget && at.is_some()) {
                    let journals = self.places.iter().zip(journals);
                    let known = journals.map(|(place, journal)| match journal.get(&id) {
                        Some(told) => format!("{} has its ends {:?}", place.name, told.ends),
                        None => format!("{} (of {}) has not", place.name, journal.len()),
                    });
                    verdict.wrong(format!(
                        "{} ({} number {}) was accepted and is lost: {}",
                        one.id,
                        one.object,
                        one.number,
                        known.collect::<Vec<_>>().join(", ")
                    ));
                }
                continue;
            };
            let (order, body) = &told.accepted[0];
            if crc32c::crc32c(&without_path(body)) != one.crc {
                verdict.wrong(format!("{} is not what was submitted", one.id));
            }
            if let Some((number, before)) = latest.insert(&one.object, (one.number, *order))
                && before > *order
            {
                verdict.wrong(format!(
                    "{}: number {} was stored before number {number}",
                    one.object, one.number
                ));
            }
            if delivered.is_none() || at.is_some() {
                continue;
            }
            if told.ends.iter().any(|end| *end != journal::DELIVERED) {
                verdict.other_ends += 1;
            } else {
                verdict.wrong(format!(
                    "{} ({} number {}) is stored and was never delivered",
                    one.id, one.object, one.number
                ));
            }
        }
    }

    /// The line on which each id was delivered first. A repetition says so.
    fn check_delivered(&self, verdict: &mut Verdict) -> Option<HashMap<String, usize>> {
        let text = std::fs::read_to_string(self.delivered?).unwrap_or_default();
        let mut first = HashMap::new();
        let mut attempts: HashMap<&str, u32> = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split(' ');
            let id = words.next().unwrap_or("");
            let attempt = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            first.entry(id.replace('-', "")).or_insert(number);
            if let Some(before) = attempts.insert(id, attempt) {
                verdict.repeated += 1;
                if attempt <= before {
                    verdict.wrong(format!(
                        "{id} was delivered twice, as attempt {before} and {attempt}"
                    ));
                }
            }
        }
        Some(first)
    }

    /// Nothing is left lying about, and what was set aside has its reason.
    fn check_directory(&self, place: &Place, verdict: &mut Verdict) {
        let names = |part: &str| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(place.spool.join(part));
            let entries = entries.into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        for part in ["new", "tmp"] {
            for path in names(part) {
                verdict.wrong(format!("{} was left behind", path.display()));
            }
        }
        for path in ["corrupt", "refused"].into_iter().flat_map(&names) {
            let why = format!("{}.why", path.display());
            let is_reason = path.extension().is_some_and(|ending| ending == "why");
            if !is_reason && !Path::new(&why).exists() {
                verdict.wrong(format!("{} has no reason beside it", path.display()));
            }
        }
    }
}

impl Verdict {
    fn wrong(&mut self, what: String) {
        self.violations.push(what);
    }
}

/// Each id once, and ended.
fn check_journal(place: &Place, journal: &BTreeMap<String, Told>, verdict: &mut Verdict) {
    for (id, told) in journal {
        if told.accepted.len() > 1 {
            verdict.wrong(format!(
                "{id} was stored {} times at {}",
                told.accepted.len(),
                place.name
            ));
        }
        if !told.accepted.is_empty() && told.ends.is_empty() {
            verdict.wrong(format!("{id} is still open at {}", place.name));
        }
    }
}

/// What the stock check of Checkmk takes by position is there.
fn check_state(place: &Place, verdict: &mut Verdict) {
    let text = std::fs::read_to_string(&place.state).unwrap_or_default();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let begins = [lines.next(), lines.next()].map(|line| line.unwrap_or("").to_owned());
    let json = std::fs::read(format!("{}.json", place.state.display())).unwrap_or_default();
    let json = serde_json::from_slice::<serde_json::Value>(&json);
    if !begins[0].starts_with("Version:") || !begins[1].starts_with("Updated:") || json.is_err() {
        verdict.wrong(format!(
            "{} is no valid state file: it begins with {begins:?}",
            place.state.display()
        ));
    }
}

/// A body with the hops taken out of its path, as it was submitted.
fn without_path(body: &[u8]) -> Vec<u8> {
    const PATH: &[u8] = b"\"path\":[";
    let Some(at) = body.windows(PATH.len()).position(|part| part == PATH) else {
        return body.to_vec();
    };
    let at = at + PATH.len();
    let end = body[at..]
        .iter()
        .position(|byte| *byte == b']')
        .unwrap_or(0);
    [&body[..at], &body[at + end..]].concat()
}

/// What of a running process should be the same after a storm as before it:
/// its descriptors, and its memory in KiB.
pub fn footprint(pid: u32) -> (usize, u64) {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
    (descriptors, memory.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::{Line, write};

    const IDS: [&str; 3] = [
        "00000000-0000-7000-8000-000000000001",
        "00000000-0000-7000-8000-000000000002",
        "00000000-0000-7000-8000-000000000003",
    ];

    fn body(path: &str) -> Vec<u8> {
        format!("{{\"path\":[{path}],\"x\":1}}").into_bytes()
    }

    /// What is wrong if the receiving site has these lines, and delivered that.
    fn violations(lines: &[Line<'_>], delivered: &str) -> Vec<String> {
        judge(lines, delivered, false)
    }

    fn judge(lines: &[Line<'_>], delivered: &str, may_forget: bool) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let spool = directory.path().join("spool");
        write(&spool, lines);
        let state = directory.path().join("state");
        std::fs::write(&state, "Version: 1\nUpdated: now\n").unwrap();
        std::fs::write(directory.path().join("state.json"), "{}").unwrap();
        let log = directory.path().join("delivered");
        std::fs::write(&log, delivered).unwrap();
        let accepted: Vec<Accepted> = (1..)
            .zip(IDS)
            .map(|(number, id)| Accepted {
                id: id.to_owned(),
                object: "db1".to_owned(),
                number,
                crc: crc32c::crc32c(&body("")),
            })
            .collect();
        let place = Place {
            name: "central".to_owned(),
            spool,
            state,
        };
        Case {
            accepted: &accepted,
            places: &[place],
            delivered: Some(&log),
            logs: &[],
            may_forget,
        }
        .judge()
        .violations
    }

    #[test]
    fn what_was_forgotten_must_have_been_delivered_in_order() {
        let body = body("\"remote1\"");
        let last = [Line::Accepted(IDS[2], 3, &body), Line::Ended(IDS[2], 2)];
        let [a, b, c] = IDS;
        let in_order = format!("{a} 1\n{b} 1\n{c} 1\n");
        assert_eq!(judge(&last, &in_order, true), Vec::<String>::new());
        for (delivered, may_forget, want) in [
            (in_order.clone(), false, "is lost"),
            (format!("{a} 1\n{c} 1\n"), true, "is lost"),
            (
                format!("{b} 1\n{a} 1\n{c} 1\n"),
                true,
                "number 2 was delivered before",
            ),
            (format!("{in_order}{a} 1\n"), true, "delivered twice"),
        ] {
            let found = judge(&last, &delivered, may_forget);
            assert!(
                found.iter().any(|line| line.contains(want)),
                "{want}: {found:?}"
            );
        }
    }

    #[test]
    fn every_sort_of_wrong_is_found() {
        let body = body("\"remote1\"");
        let stored = |n: usize, order| Line::Accepted(IDS[n], order, &body);
        let ended = |n: usize| Line::Ended(IDS[n], 2);
        let all = |orders: [u64; 3]| {
            let lines = (0..3).flat_map(|n| [stored(n, orders[n]), ended(n)]);
            lines.collect::<Vec<_>>()
        };
        let [a, b, c] = IDS;
        let in_order = format!("{a} 1\n{b} 1\n{c} 1\n");
        let good = all([1, 2, 3]);
        let other = super::tests::body("\"remote1\",\"x\"]  [");
        let cases: [(&str, Vec<Line<'_>>, String, &str); 9] = [
            ("good", good.clone(), in_order.clone(), ""),
            ("lost", good[..4].to_vec(), in_order.clone(), "is lost"),
            (
                "twice",
                [&good[..], &[stored(0, 9)]].concat(),
                in_order.clone(),
                "stored 2 times",
            ),
            (
                "changed",
                [&[Line::Accepted(a, 1, &other)], &good[1..]].concat(),
                in_order.clone(),
                "not what was submitted",
            ),
            ("open", good[..5].to_vec(), in_order.clone(), "still open"),
            (
                "stored in another order",
                all([1, 3, 2]),
                in_order.clone(),
                "number 3 was stored before number 2",
            ),
            (
                "delivered in another order",
                good.clone(),
                format!("{a} 1\n{c} 1\n{b} 1\n"),
                "number 3 was delivered before number 2",
            ),
            (
                "delivered twice in one attempt",
                good.clone(),
                format!("{in_order}{b} 1\n"),
                "delivered twice",
            ),
            (
                "not delivered",
                good.clone(),
                format!("{a} 1\n{b} 1\n"),
                "never delivered",
            ),
        ];
        for (name, lines, delivered, want) in cases {
            let found = violations(&lines, &delivered);
            match want {
                "" => assert_eq!(found, Vec::<String>::new(), "{name}"),
                want => assert!(
                    found.iter().any(|line| line.contains(want)),
                    "{name}: {found:?}"
                ),
            }
        }
        let again = format!("{in_order}{c} 2\n");
        assert_eq!(violations(&good, &again), Vec::<String>::new());
    }
}
