//! Who is at the other end of a link, and whether it may stay when the settings change.

use net::{Address, Presented};
use objects::SiteId;

use super::Settings;

/// Who the other end is, as far as is known before it says so.
pub(super) struct Claim {
    pub(super) site: Option<SiteId>,
    /// What proves it.
    pub(super) chain: Option<Presented>,
    pub(super) over_tcp: bool,
    /// Where we connected to.
    pub(super) address: Option<Address>,
}

/// Whether a link may stay under new settings.
pub(super) enum Standing {
    Same,
    /// The two ends must speak anew.
    Changed(&'static str),
    NotBelieved(String),
}

impl Claim {
    /// `known` is who the other end says it is, if it has said so.
    pub(super) fn stands(
        &self,
        known: Option<&SiteId>,
        old: &Settings,
        new: &Settings,
    ) -> Standing {
        let Some(site) = self.site.as_ref().or(known) else {
            return Standing::Same;
        };
        if let (Some(chain), Some(identity)) = (&self.chain, &new.access.identity)
            && let Err(error) = identity.believes(site, chain)
        {
            let why = program::exit::chain(&error);
            return Standing::NotBelieved(format!("no longer believed: {why}"));
        }
        let Some(peer) = new.peers.get(site) else {
            return Standing::Changed("not a peer any more");
        };
        let before = old.peers.get(site);
        let sends = |settings: &Settings| settings.sending.contains(site);
        let is_same = before
            .is_some_and(|before| before.receive == peer.receive && before.plain == peer.plain)
            && sends(old) == sends(new)
            && (self.address.is_none() || self.address == peer.connect);
        match is_same {
            true => Standing::Same,
            false => Standing::Changed("the configuration has changed"),
        }
    }
}
