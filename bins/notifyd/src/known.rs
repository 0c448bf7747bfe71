//! The sites that are peers: those of the configuration, and those that have
//! joined by invitation, which may be more or fewer while we run.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use objects::SiteId;

use crate::config::Configuration;

/// All peers.
#[derive(Debug)]
pub(crate) struct Known {
    configured: BTreeSet<SiteId>,
    joined: Mutex<BTreeSet<SiteId>>,
}

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) added: Vec<SiteId>,
    pub(crate) gone: Vec<SiteId>,
}

impl Known {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let peers = configuration.peers.iter().map(|peer| peer.site.clone());
        let joined = configuration.joined.clone();
        Self {
            configured: peers.filter(|site| !joined.contains(site)).collect(),
            joined: Mutex::new(joined),
        }
    }

    fn joined(&self) -> MutexGuard<'_, BTreeSet<SiteId>> {
        // Whoever panicked while holding it left a whole set behind.
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, site: &SiteId) -> bool {
        self.configured.contains(site) || self.joined().contains(site)
    }

    pub(crate) fn count(&self) -> usize {
        self.configured.len() + self.joined().len()
    }

    /// Takes these as the ones that have joined.
    pub(crate) fn replace_joined(&self, sites: Vec<SiteId>) -> Change {
        let new: BTreeSet<SiteId> = sites.into_iter().collect();
        let new = &new - &self.configured;
        let mut joined = self.joined();
        let change = Change {
            added: (&new - &joined).into_iter().collect(),
            gone: (&*joined - &new).into_iter().collect(),
        };
        *joined = new;
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(names: &[&str]) -> Vec<SiteId> {
        names
            .iter()
            .map(|name| SiteId::new(name).unwrap())
            .collect()
    }

    #[test]
    fn who_has_joined_comes_and_goes_and_who_is_configured_stays() {
        let text = "[site]\nname = 'central'\n[[listen]]\naddress = 'unix:/x'\n\
                    [[peer]]\nsite = 'a'\n[[peer]]\nsite = 'b'\n";
        let mut configuration = Configuration::parse("x", text).unwrap();
        configuration.joined.extend(sites(&["b"]));
        let known = Known::new(&configuration);
        let change = known.replace_joined(sites(&["a", "b", "c"]));
        assert_eq!((change.added, change.gone), (sites(&["c"]), sites(&[])));
        assert_eq!(known.count(), 3);
        let change = known.replace_joined(sites(&["c"]));
        assert_eq!((change.added, change.gone), (sites(&[]), sites(&["b"])));
        let [a, b, c] = ["a", "b", "c"].map(|name| known.has(&SiteId::new(name).unwrap()));
        assert!(a && !b && c);
    }
}
