//! The part of the configuration that is about other sites: who they are, where
//! they are, and what goes to whom.

use std::collections::BTreeSet;
use std::time::Duration;

use net::{Address, TlsFiles};
use objects::SiteId;
use program::config::Table;

use super::{Configuration, default, positive};

/// A site that may open a link to us, or to which we open one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) site: SiteId,
    /// Where we connect to; without it the peer connects to us.
    pub(crate) connect: Option<Address>,
    /// Whether every notification is forwarded to it.
    pub(crate) send: bool,
}

/// Where notifications are forwarded to: one of these sites, the first that
/// can take them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    /// In order of preference.
    pub(crate) to: Vec<SiteId>,
    /// How long one that is preferred may be away before the next one is used.
    pub(crate) failover_after: Duration,
}

/// Who we are towards other sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) files: TlsFiles,
    /// Whether we ask for the next certificate ourselves.
    pub(crate) renew: bool,
}

impl Configuration {
    /// All ways to other sites: each gets every notification.
    pub(crate) fn forwards(&self) -> Vec<Forward> {
        let single = |site: &SiteId| Forward {
            to: vec![site.clone()],
            failover_after: default::FAILOVER_AFTER,
        };
        let sending = self.peers.iter().filter(|peer| peer.send);
        let single = sending.map(|peer| single(&peer.site));
        self.forward.iter().cloned().chain(single).collect()
    }

    /// Whether anything is ever sent to this peer.
    pub(crate) fn sends_to(&self, peer: &Peer) -> bool {
        peer.send
            || self
                .forward
                .as_ref()
                .is_some_and(|f| f.to.contains(&peer.site))
    }

    /// What must be true of the keys about other sites together.
    pub(super) fn check_links(&self, complain: &mut dyn FnMut(String)) {
        let mut sites = BTreeSet::new();
        for peer in &self.peers {
            if peer.site == self.site {
                complain(format!("[[peer]] {} is this site itself", peer.site));
            }
            if !sites.insert(&peer.site) {
                complain(format!("[[peer]] {} stands twice", peer.site));
            }
            if peer.connect.is_none() && self.listen.is_empty() {
                complain(format!(
                    "[[peer]] {} can never come up: it has no `connect` and there is no [[listen]]",
                    peer.site
                ));
            }
        }
        if self.authority.is_some() && self.tls.is_none() {
            complain("[tls] is missing, and [authority] needs it".to_owned());
        }
        self.check_forward(complain);
        let connects = self.peers.iter().filter_map(|peer| peer.connect.as_ref());
        let mut links = self.listen.iter().chain(connects);
        let needs_tls = links.find(|address| matches!(address, Address::Tcp { .. }));
        if let (None, Some(address)) = (&self.tls, needs_tls) {
            complain(format!("[tls] is missing, and {address} needs it"));
        }
    }

    fn check_forward(&self, complain: &mut dyn FnMut(String)) {
        let Some(forward) = &self.forward else { return };
        let mut seen = BTreeSet::new();
        for site in &forward.to {
            if !seen.insert(site) {
                complain(format!("[forward] to names {site} twice"));
            }
            match self.peers.iter().find(|peer| peer.site == *site) {
                None => complain(format!("[forward] to names {site}, which is no [[peer]]")),
                Some(peer) if peer.send => complain(format!(
                    "[[peer]] {site} has `send`, and [forward] to names it: it would get all twice"
                )),
                Some(_) => {}
            }
        }
    }
}

pub(super) fn parse_tls(mut table: Table, problems: &mut Vec<String>) -> Option<Tls> {
    let certificate = table.require("certificate", Table::path, problems);
    let key = table.require("key", Table::path, problems);
    let ca = table.require("ca", Table::path, problems);
    let crl = table.take("crl", Table::path, problems);
    let renew = table.take("renew", Table::boolean, problems);
    table.finish(problems);
    Some(Tls {
        files: TlsFiles {
            certificate: certificate?,
            key: key?,
            ca: ca?,
            crl,
        },
        renew: renew.unwrap_or(false),
    })
}

pub(super) fn parse_listen(mut table: Table, problems: &mut Vec<String>) -> Option<Address> {
    let address = table.require("address", Table::parsed, problems);
    table.finish(problems);
    address
}

pub(super) fn parse_peer(mut table: Table, problems: &mut Vec<String>) -> Option<Peer> {
    let site = table.require("site", Table::parsed, problems);
    let connect = table.take("connect", Table::parsed, problems);
    let send = table.take("send", Table::boolean, problems);
    table.finish(problems);
    Some(Peer {
        site: site?,
        connect,
        send: send.unwrap_or(false),
    })
}

pub(super) fn parse_forward(mut table: Table, problems: &mut Vec<String>) -> Option<Forward> {
    let to = table.require("to", sites, problems);
    let failover_after = table.take("failover_after", positive, problems);
    table.finish(problems);
    Some(Forward {
        to: to?,
        failover_after: failover_after.unwrap_or(default::FAILOVER_AFTER),
    })
}

/// At least one site.
fn sites(value: program::config::Value) -> Result<Vec<SiteId>, String> {
    let texts = Table::texts(value).map_err(|_| "must be a list of sites".to_owned())?;
    if texts.is_empty() {
        return Err("must name a site".to_owned());
    }
    let parse = |text: &String| SiteId::new(text).map_err(|error| format!("is wrong: {error}"));
    texts.iter().map(parse).collect()
}
