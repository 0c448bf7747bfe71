//! How notifications go through a lane, whatever it delivers to: how many at
//! once, together or each for itself, and what becomes of those that fail, are
//! late, or are too many. Keys of `[[lane]]`.

use std::time::Duration;

use program::config::{Table, Value};

use super::lanes::lane_name;
use super::positive;

/// `retry`: the first pause; each further one is twice as long.
const RETRY: Duration = Duration::from_secs(30);
/// `retry_max`: no pause is longer.
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);
/// `expire`: for notifications that do not say it themselves.
const EXPIRE: Duration = Duration::from_secs(24 * 3600);
/// `places`: most that can be asked for.
const MOST_PLACES: i64 = 64;
/// `breaker`: failures in a row that open it.
const BREAKER: usize = 5;
/// `[lane.bulk] interval`
const BULK_INTERVAL: Duration = Duration::from_secs(60);
/// `[lane.bulk] count`
const BULK_COUNT: usize = 1000;
/// Most notifications that are ever delivered together.
pub(crate) const MOST_TOGETHER: usize = 10_000;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    /// How many are delivered at the same time.
    pub(crate) places: usize,
    pub(crate) retry: Retry,
    /// So many failures in a row open the breaker; 0: none do.
    pub(crate) breaker: usize,
    pub(crate) bulk: Option<Bulk>,
    pub(crate) storm: Option<Storm>,
    /// A recovery is told together with its problem if that has waited so long.
    pub(crate) supersede_after: Option<Duration>,
    pub(crate) late: Option<Late>,
    pub(crate) on_unknown: OnUnknown,
    /// The lane that tells of what this one could not deliver.
    pub(crate) on_failure: Option<String>,
}

/// When a delivery that failed is tried again, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    pub(crate) expire: Duration,
}

/// What is collected is delivered together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bulk {
    /// What they must have in common.
    pub(crate) by: Vec<By>,
    /// How long the first one waits for others.
    pub(crate) interval: Duration,
    /// So many do not wait.
    pub(crate) count: usize,
}

/// What notifications of a bulk have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    Host,
    Service,
    Site,
    Contact,
    Rule,
    State,
    /// An entry of the context.
    Entry(String),
}

/// How many may be delivered to one contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storm {
    pub(crate) at_most: Vec<Limit>,
    /// A digest goes out after this long, whatever the limits say.
    pub(crate) interval: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) count: u32,
    pub(crate) within: Duration,
}

/// From which age on a notification is late, and what becomes of it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) after: Duration,
    pub(crate) what: WhatIfLate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhatIfLate {
    /// It is delivered, and says so.
    Mark,
    /// All late ones are delivered together.
    Digest,
    /// It is not delivered.
    Drop,
}

/// What becomes of an attempt of which nobody knows how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnUnknown {
    /// Another one.
    Retry,
    /// Somebody has to look.
    Hold,
}

impl Flow {
    /// A lane with nothing configured, `places` but for those.
    #[cfg(test)]
    pub(crate) fn plain(places: usize) -> Self {
        let mut problems = Vec::new();
        let mut table = Table::parse("test", "", &mut problems);
        Self::parse(&mut table, places, &mut problems)
    }

    /// `places` is what the lane has if it does not say.
    pub(super) fn parse(table: &mut Table, places: usize, problems: &mut Vec<String>) -> Self {
        let retry = Retry {
            first: table.take("retry", positive, problems).unwrap_or(RETRY),
            longest: table
                .take("retry_max", positive, problems)
                .unwrap_or(RETRY_MAX),
            expire: table.take("expire", positive, problems).unwrap_or(EXPIRE),
        };
        let bulk = table.take("bulk", Table::table, problems);
        let storm = table.take("storm", Table::table, problems);
        let late_after = table.take("late_after", positive, problems);
        let late = table.take("late", what_if_late, problems);
        let flow = Self {
            places: table
                .take("places", |value| number(value, 1, MOST_PLACES), problems)
                .unwrap_or(places),
            retry,
            breaker: table
                .take("breaker", |value| number(value, 0, 1000), problems)
                .unwrap_or(BREAKER),
            bulk: bulk.map(|table| parse_bulk(table, problems)),
            storm: storm.and_then(|table| parse_storm(table, problems)),
            supersede_after: table.take("supersede_after", Table::duration, problems),
            late: late_after.map(|after| Late {
                after,
                what: late.unwrap_or(WhatIfLate::Mark),
            }),
            on_unknown: table
                .take("on_unknown", on_unknown, problems)
                .unwrap_or(OnUnknown::Retry),
            on_failure: table.take("on_failure", lane_name, problems),
        };
        if late.is_some() && late_after.is_none() {
            problems.push(table.problem("`late` needs `late_after`"));
        }
        if flow.bulk.is_some() && flow.supersede_after.is_some() {
            problems.push(table.problem("`bulk` tells everything: no `supersede_after` with it"));
        }
        flow
    }
}

fn parse_bulk(mut table: Table, problems: &mut Vec<String>) -> Bulk {
    let bulk = Bulk {
        by: table.take("by", bys, problems).unwrap_or_default(),
        interval: table
            .take("interval", positive, problems)
            .unwrap_or(BULK_INTERVAL),
        count: table
            .take("count", |v| number(v, 1, MOST_TOGETHER as i64), problems)
            .unwrap_or(BULK_COUNT),
    };
    table.finish(problems);
    bulk
}

fn parse_storm(mut table: Table, problems: &mut Vec<String>) -> Option<Storm> {
    let limits = table.take_tables("at_most", problems).into_iter();
    let at_most: Vec<Limit> = limits
        .filter_map(|limit| parse_limit(limit, problems))
        .collect();
    let interval = table.take("interval", positive, problems);
    if at_most.is_empty() {
        problems.push(
            table.problem("`at_most` must say how many, such as [{count = 5, within = \"15m\"}]"),
        );
    }
    table.finish(problems);
    (!at_most.is_empty()).then_some(Storm { at_most, interval })
}

fn parse_limit(mut table: Table, problems: &mut Vec<String>) -> Option<Limit> {
    let count = table.require("count", |value| number(value, 1, 1_000_000), problems);
    let within = table.require("within", positive, problems);
    table.finish(problems);
    Some(Limit {
        count: count? as u32,
        within: within?,
    })
}

fn number(value: Value, least: i64, most: i64) -> Result<usize, String> {
    match Table::integer(value)? {
        number if (least..=most).contains(&number) => Ok(number as usize),
        _ => Err(format!("must be a number from {least} to {most}")),
    }
}

fn bys(value: Value) -> Result<Vec<By>, String> {
    let words = Table::one_or_more(value)?;
    words.iter().map(|word| by(word)).collect()
}

fn by(word: &str) -> Result<By, String> {
    let is_entry = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    match word {
        "host" => Ok(By::Host),
        "service" => Ok(By::Service),
        "site" => Ok(By::Site),
        "contact" => Ok(By::Contact),
        "rule" => Ok(By::Rule),
        "state" => Ok(By::State),
        _ if !word.is_empty() && word.bytes().all(is_entry) => Ok(By::Entry(word.to_owned())),
        _ => Err(format!(
            "{word:?} is none of host, service, site, contact, rule, state, nor the name of a context entry in capitals"
        )),
    }
}

fn what_if_late(value: Value) -> Result<WhatIfLate, String> {
    match &*Table::text(value)? {
        "mark" => Ok(WhatIfLate::Mark),
        "digest" => Ok(WhatIfLate::Digest),
        "drop" => Ok(WhatIfLate::Drop),
        _ => Err("must be \"mark\", \"digest\" or \"drop\"".to_owned()),
    }
}

fn on_unknown(value: Value) -> Result<OnUnknown, String> {
    match &*Table::text(value)? {
        "retry" => Ok(OnUnknown::Retry),
        "hold" => Ok(OnUnknown::Hold),
        _ => Err("must be \"retry\" or \"hold\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Flow, Vec<String>) {
        let mut problems = Vec::new();
        let mut table = Table::parse("n.toml", text, &mut problems);
        let flow = Flow::parse(&mut table, 4, &mut problems);
        table.finish(&mut problems);
        (flow, problems)
    }

    #[test]
    fn nothing_needs_to_be_said() {
        let (flow, problems) = parse("");
        assert_eq!(problems, [""; 0]);
        assert_eq!((flow.places, flow.breaker), (4, 5));
        assert_eq!(flow.on_unknown, OnUnknown::Retry);
        assert!(flow.bulk.is_none() && flow.storm.is_none() && flow.late.is_none());
        assert!(flow.supersede_after.is_none() && flow.on_failure.is_none());
    }

    #[test]
    fn everything_can_be_said() {
        let (flow, problems) = parse(
            "places = 8\nbreaker = 0\nlate_after = '30m'\nlate = 'drop'\non_unknown = 'hold'\n\
             on_failure = 'other'\n[bulk]\nby = ['host', 'rule', 'HOSTGROUPNAMES']\ninterval = '5m'\ncount = 50\n\
             [storm]\nat_most = [{count = 5, within = '15m'}, {count = 11, within = '1h'}]\n",
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!((flow.places, flow.breaker), (8, 0));
        assert_eq!(flow.late.unwrap().what, WhatIfLate::Drop);
        assert_eq!(flow.on_unknown, OnUnknown::Hold);
        let bulk = flow.bulk.unwrap();
        let entry = By::Entry("HOSTGROUPNAMES".to_owned());
        assert_eq!(bulk.by, [By::Host, By::Rule, entry]);
        assert_eq!((bulk.interval.as_secs(), bulk.count), (300, 50));
        assert_eq!(flow.storm.unwrap().at_most[1].count, 11);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, want) in [
            ("places = 0", "from 1 to 64"),
            ("late = 'mark'", "needs `late_after`"),
            ("late_after = '1m'\nlate = 'never'", "\"mark\", \"digest\""),
            ("on_unknown = 'guess'", "\"retry\" or \"hold\""),
            ("[storm]", "`at_most` must say"),
            ("[storm]\nat_most = [{count = 5}]", "`within` is missing"),
            ("[bulk]\nby = ['weather']", "\"weather\" is none of"),
            (
                "supersede_after = '1m'\n[bulk]\n",
                "no `supersede_after` with it",
            ),
        ] {
            let (_, problems) = parse(text);
            assert!(
                problems.iter().any(|problem| problem.contains(want)),
                "{text}: {problems:?}"
            );
        }
    }
}
