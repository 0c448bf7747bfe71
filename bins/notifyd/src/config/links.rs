//! The part of the configuration that is about other sites: who they are, where
//! they are, and what goes to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use authority::Fingerprint;
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
    /// Whether it may send us anything.
    pub(crate) receive: bool,
    /// Whether results travel to it and from it, if it wants that, too.
    pub(crate) results: bool,
    /// How long nothing may be heard of it; zero: for ever.
    pub(crate) silent_after: Option<Duration>,
    /// The sites it may speak for beside itself.
    pub(crate) sites: Sites,
    /// Whether the link is without TLS.
    pub(crate) plain: bool,
    /// Its public keys. With any, no authority can vouch for it.
    pub(crate) pins: Vec<Fingerprint>,
}

/// Sites that a peer may name as the origin of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sites {
    These(BTreeSet<String>),
    All,
}

impl Peer {
    /// One that has joined by invitation, and connects to us.
    pub(super) fn joined(site: SiteId) -> Self {
        Self {
            site,
            connect: None,
            send: false,
            receive: true,
            results: false,
            silent_after: None,
            sites: Sites::These(BTreeSet::new()),
            plain: false,
            pins: Vec::new(),
        }
    }

    /// Whether a notification from this peer may say it is from `site`.
    pub(crate) fn may_claim(&self, site: &[u8]) -> bool {
        site == self.site.as_str().as_bytes()
            || match &self.sites {
                Sites::All => true,
                Sites::These(sites) => {
                    std::str::from_utf8(site).is_ok_and(|site| sites.contains(site))
                }
            }
    }

    /// Whether others can listen in on the link that we open.
    pub(crate) fn is_exposed(&self) -> bool {
        self.plain && self.connect.as_ref().is_some_and(|at| !at.is_local())
    }
}

/// Where peers connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: Address,
    /// Whether links are without TLS.
    pub(crate) plain: bool,
}

/// Where notifications are forwarded to: one of these sites, the first that
/// can take them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    /// In order of preference.
    pub(crate) to: Vec<SiteId>,
    /// How long one that is preferred may be away before the next one is used.
    pub(crate) failover_after: Duration,
    /// How long an acknowledgement may take before it is delivered here.
    pub(crate) fallback_after: Option<Duration>,
    /// Whether nothing but results goes there.
    pub(crate) only_results: bool,
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
        let single = |peer: &Peer| Forward {
            to: vec![peer.site.clone()],
            failover_after: default::FAILOVER_AFTER,
            fallback_after: None,
            only_results: !peer.send,
        };
        let in_group = |peer: &Peer| {
            let group = self.forward.as_ref();
            group.is_some_and(|forward| forward.to.contains(&peer.site))
        };
        let alone = self.peers.iter();
        let alone = alone.filter(|peer| peer.send || (peer.results && !in_group(peer)));
        self.forward
            .iter()
            .cloned()
            .chain(alone.map(single))
            .collect()
    }

    /// How long what is forwarded may be without an acknowledgement before it is
    /// delivered here.
    pub(crate) fn fallback_after(&self) -> Option<Duration> {
        self.forward.as_ref()?.fallback_after
    }

    /// Whether anything is ever sent to this peer.
    pub(crate) fn sends_to(&self, peer: &Peer) -> bool {
        peer.send
            || peer.results
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
        self.check_pins(complain);
        self.check_forward(complain);
        let connects = self
            .peers
            .iter()
            .filter_map(|peer| Some((peer.connect.as_ref()?, peer.plain)));
        let listens = self.listen.iter().map(|at| (&at.address, at.plain));
        let mut links = listens.chain(connects);
        let needs_tls = links.find(|(at, plain)| matches!(at, Address::Tcp { .. }) && !plain);
        if let (None, Some((address, _))) = (&self.tls, needs_tls) {
            complain(format!("[tls] is missing, and {address} needs it"));
        }
    }

    /// Who is known by what: each peer by keys of its own, or by an authority.
    fn check_pins(&self, complain: &mut dyn FnMut(String)) {
        let mut owners = BTreeMap::new();
        for peer in &self.peers {
            let site = &peer.site;
            if peer.plain && !peer.pins.is_empty() {
                complain(format!(
                    "[[peer]] {site} has `pin` and `plain`: without TLS no key is shown"
                ));
            }
            for pin in &peer.pins {
                if let Some(other) = owners.insert(*pin, site) {
                    complain(format!("[[peer]] {site} has a `pin` that {other} has, too"));
                }
            }
        }
        let Some(tls) = &self.tls else { return };
        if tls.files.ca.is_some() {
            return;
        }
        let needs = [
            ("crl", tls.files.crl.is_some()),
            ("renew", tls.renew),
            ("[authority]", self.authority.is_some()),
        ];
        for (what, _) in needs.iter().filter(|(_, there)| *there) {
            complain(format!("[tls] `ca` is missing, and {what} needs it"));
        }
        let is_tcp = |at: &Address| matches!(at, Address::Tcp { .. });
        let comes_over_tls = self
            .listen
            .iter()
            .any(|at| is_tcp(&at.address) && !at.plain);
        for peer in self
            .peers
            .iter()
            .filter(|peer| !peer.plain && peer.pins.is_empty())
        {
            if peer.connect.as_ref().map_or(comes_over_tls, is_tcp) {
                complain(format!(
                    "[tls] `ca` is missing, and [[peer]] {} has no `pin`",
                    peer.site
                ));
            }
        }
    }

    /// What works and is not good, for the state file.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let exposed =
            |at: &Address| format!("plain text to and from {at}: others can read and forge");
        let listens = self.listen.iter();
        let listens = listens.filter(|at| at.plain && !at.address.is_local());
        let peers = self.peers.iter().filter(|peer| peer.is_exposed());
        let peers = peers.filter_map(|peer| peer.connect.as_ref());
        listens
            .map(|at| &at.address)
            .chain(peers)
            .map(exposed)
            .collect()
    }

    fn check_forward(&self, complain: &mut dyn FnMut(String)) {
        let Some(forward) = &self.forward else { return };
        if forward.fallback_after.is_some() && self.lanes.is_empty() {
            complain("[forward] `fallback_after` is of no use without a [[lane]]".to_owned());
        }
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
    let ca = table.take("ca", Table::path, problems);
    let crl = table.take("crl", Table::path, problems);
    let renew = table.take("renew", Table::boolean, problems);
    table.finish(problems);
    Some(Tls {
        files: TlsFiles {
            certificate: certificate?,
            key: key?,
            ca,
            crl,
        },
        renew: renew.unwrap_or(false),
    })
}

pub(super) fn parse_listen(mut table: Table, problems: &mut Vec<String>) -> Option<Listen> {
    let address = table.require("address", Table::parsed, problems);
    let plain = table.take("plain", Table::boolean, problems);
    table.finish(problems);
    Some(Listen {
        address: address?,
        plain: plain.unwrap_or(false),
    })
}

pub(super) fn parse_peer(mut table: Table, problems: &mut Vec<String>) -> Option<Peer> {
    let site = table.require("site", Table::parsed, problems);
    let connect = table.take("connect", Table::parsed, problems);
    let send = table.take("send", Table::boolean, problems);
    let receive = table.take("receive", Table::boolean, problems);
    let results = table.take("results", Table::boolean, problems);
    let silent_after = table.take("silent_after", Table::duration, problems);
    let sites = table.take("sites", claims, problems);
    let plain = table.take("plain", Table::boolean, problems);
    let pins = table.take("pin", pins, problems);
    table.finish(problems);
    Some(Peer {
        site: site?,
        connect,
        send: send.unwrap_or(false),
        receive: receive.unwrap_or(true),
        results: results.unwrap_or(false),
        silent_after,
        sites: sites.unwrap_or(Sites::These(BTreeSet::new())),
        plain: plain.unwrap_or(false),
        pins: pins.unwrap_or_default(),
    })
}

pub(super) fn parse_forward(mut table: Table, problems: &mut Vec<String>) -> Option<Forward> {
    let to = table.require("to", sites, problems);
    let failover_after = table.take("failover_after", positive, problems);
    let fallback_after = table.take("fallback_after", positive, problems);
    table.finish(problems);
    Some(Forward {
        to: to?,
        failover_after: failover_after.unwrap_or(default::FAILOVER_AFTER),
        fallback_after,
        only_results: false,
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

/// One key or several, as `sitecert pin` prints them. The fingerprint of a
/// certificate has no word before it, and is something else.
fn pins(value: program::config::Value) -> Result<Vec<Fingerprint>, String> {
    const WRONG: &str = "must be `sha256:` and 64 hexadecimal digits, as `sitecert pin` prints";
    let texts = Table::one_or_more(value)?;
    if texts.is_empty() {
        return Err("must name a key".to_owned());
    }
    let parse = |text: &String| match text.starts_with("sha256:") {
        true => text.parse().map_err(|_| WRONG.to_owned()),
        false => Err(WRONG.to_owned()),
    };
    texts.iter().map(parse).collect()
}

/// A list of sites, or of `*` alone. What a site calls itself need not be an id
/// of ours.
fn claims(value: program::config::Value) -> Result<Sites, String> {
    let texts = Table::texts(value).map_err(|_| "must be a list of sites".to_owned())?;
    Ok(match texts.iter().any(|text| text == "*") {
        true => Sites::All,
        false => Sites::These(texts.into_iter().collect()),
    })
}
