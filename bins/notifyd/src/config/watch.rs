//! `[silence]` and `[canary]`: what notifyd finds out by itself and tells people:
//! sites of which nothing is heard, and a way on which nothing arrives.

use std::time::Duration;

use program::config::Table;

use super::lanes::lane_name;
use super::{Configuration, positive};

/// `[canary] within`
const WITHIN: Duration = Duration::from_secs(5 * 60);

/// Notifications that only prove that the way is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Canary {
    /// How often one is sent; none: never, but by hand.
    pub(crate) every: Option<Duration>,
    /// How long one may take, there and back.
    pub(crate) within: Duration,
    /// The lane here that tells when it takes longer.
    pub(crate) tell: Option<String>,
    /// The lane into which those go that arrive here; none: they are counted.
    pub(crate) lane: Option<String>,
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            every: None,
            within: WITHIN,
            tell: None,
            lane: None,
        }
    }
}

pub(super) fn parse_canary(mut table: Table, problems: &mut Vec<String>) -> Canary {
    let every = table.take("every", positive, problems);
    let within = table.take("within", positive, problems);
    let tell = table.take("tell", lane_name, problems);
    let lane = table.take("lane", lane_name, problems);
    table.finish(problems);
    Canary {
        every,
        within: within.unwrap_or(WITHIN),
        tell,
        lane,
    }
}

/// How long a peer may be silent that does not say it itself; 0: for ever.
pub(super) fn parse_silence(mut table: Table, problems: &mut Vec<String>) -> Option<Duration> {
    let after = table.require("after", Table::duration, problems);
    table.finish(problems);
    after.filter(|after| !after.is_zero())
}

impl Configuration {
    /// How long nothing may be heard of each peer that is watched.
    pub(crate) fn silences(&self) -> Vec<(objects::SiteId, Duration)> {
        let after = |peer: &super::Peer| peer.silent_after.or(self.silence);
        let watched = self
            .peers
            .iter()
            .filter_map(|peer| Some((peer.site.clone(), after(peer)?)));
        watched.filter(|(_, after)| !after.is_zero()).collect()
    }

    pub(super) fn check_canary(&self, complain: &mut dyn FnMut(String)) {
        let Canary {
            every, tell, lane, ..
        } = &self.canary;
        for (key, name) in [("tell", tell), ("lane", lane)] {
            if let Some(name) = name
                && !self.lanes.iter().any(|known| known.name == *name)
            {
                complain(format!(
                    "[canary] `{key}` names {name:?}, which is no [[lane]]"
                ));
            }
        }
        let forwards = self.forwards();
        let forwards = forwards.iter().filter(|forward| !forward.only_results);
        let mut ways = forwards.flat_map(|forward| &forward.to).peekable();
        let comes_back = |site: &objects::SiteId| {
            let mut peers = self.peers.iter();
            peers.any(|peer| peer.site == *site && peer.results)
        };
        if every.is_some() && ways.peek().is_some() && !ways.any(comes_back) {
            complain(
                "[canary] `every`: none would ever come back, as no [[peer]] that gets \
                 notifications has `results`"
                    .to_owned(),
            );
        }
    }
}
