//! The part of the configuration that is about certificates: which files there
//! are, and who has joined.

use std::collections::BTreeSet;
use std::path::PathBuf;

use authority::{Credentials, enrolment};
use net::{Pins, TlsFiles};
use objects::SiteId;

use super::{Configuration, Peer, Tls};

impl Configuration {
    /// The files of `[tls]`. Where an authority is, its list of revoked
    /// certificates counts, if no other is named.
    pub(crate) fn tls_files(&self, tls: &Tls) -> TlsFiles {
        let mut files = tls.files.clone();
        let own = self.authority.as_ref();
        let own = || own.map(|settings| settings.directory.join("ca.crl"));
        files.crl = files.crl.or_else(own);
        files
    }

    /// The peers that are known by their keys.
    pub(crate) fn pins(&self) -> Pins {
        let mut pins = Pins::default();
        for peer in &self.peers {
            for pin in &peer.pins {
                pins.insert(*pin.as_bytes(), peer.site.clone());
            }
        }
        pins
    }

    /// What is renewed, and whether we do that; nothing without an authority.
    pub(crate) fn credentials(&self) -> Option<(Credentials, bool)> {
        let tls = self.tls.as_ref()?;
        let files = self.tls_files(tls);
        let credentials = Credentials {
            certificate: files.certificate,
            key: files.key,
            authority: files.ca?,
            revoked: files.crl,
        };
        Some((credentials, tls.renew))
    }

    /// The files that are read again when they have changed.
    pub(crate) fn watched_files(&self) -> Vec<PathBuf> {
        let mut watched = Vec::new();
        if let Some(tls) = &self.tls {
            let files = self.tls_files(tls);
            watched.extend([files.certificate, files.key]);
            watched.extend(files.ca.into_iter().chain(files.crl));
        }
        // Its time changes with what is in it.
        watched.extend(self.authority.iter().map(|a| a.directory.join("joined")));
        watched
    }

    /// The sites that have joined by invitation are peers.
    pub(super) fn add_joined(&mut self, problems: &mut Vec<String>) {
        let Some(settings) = &self.authority else {
            return;
        };
        match enrolment::joined(&settings.directory) {
            Ok(joined) => {
                self.set_joined(joined);
            }
            Err(error) => problems.push(format!("[authority] {}", program::exit::chain(&error))),
        }
    }

    /// These have joined, and nobody else. What has changed.
    pub(crate) fn set_joined(&mut self, sites: Vec<SiteId>) -> Change {
        let joined = &self.joined;
        let is_configured = |site: &SiteId| {
            self.peers.iter().any(|peer| peer.site == *site) && !joined.contains(site)
        };
        let new: BTreeSet<SiteId> = sites
            .into_iter()
            .filter(|site| !is_configured(site))
            .collect();
        let change = Change {
            added: (&new - joined).into_iter().collect(),
            gone: (joined - &new).into_iter().collect(),
        };
        self.peers.retain(|peer| !change.gone.contains(&peer.site));
        let added = change.added.iter().cloned().map(Peer::joined);
        self.peers.extend(added);
        self.joined = new;
        change
    }
}

/// Who has joined, and who is no peer any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) added: Vec<SiteId>,
    pub(crate) gone: Vec<SiteId>,
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
        let text =
            "[site]\nname = 'central'\n[[listen]]\naddress = 'unix:/x'\n[[peer]]\nsite = 'a'\n";
        let mut configuration = Configuration::parse("x", text).unwrap();
        configuration.set_joined(sites(&["b"]));
        let change = configuration.set_joined(sites(&["a", "b", "c"]));
        assert_eq!((change.added, change.gone), (sites(&["c"]), sites(&[])));
        let change = configuration.set_joined(sites(&["c"]));
        assert_eq!((change.added, change.gone), (sites(&[]), sites(&["b"])));
        let left: Vec<SiteId> = configuration
            .peers
            .into_iter()
            .map(|peer| peer.site)
            .collect();
        assert_eq!(left, sites(&["a", "c"]));
    }
}
