//! The part of the configuration that is about certificates: which files there
//! are, and who has joined.

use std::path::PathBuf;

use authority::{Credentials, enrolment};
use net::TlsFiles;

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

    /// What is renewed, and whether we do that.
    pub(crate) fn credentials(&self) -> Option<(Credentials, bool)> {
        let tls = self.tls.as_ref()?;
        let files = self.tls_files(tls);
        let credentials = Credentials {
            certificate: files.certificate,
            key: files.key,
            authority: files.ca,
            revoked: files.crl,
        };
        Some((credentials, tls.renew))
    }

    /// The files that are read again when they have changed.
    pub(crate) fn watched_files(&self) -> Vec<PathBuf> {
        let mut watched = Vec::new();
        if let Some(tls) = &self.tls {
            let files = self.tls_files(tls);
            watched.extend([files.certificate, files.key, files.ca]);
            watched.extend(files.crl);
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
                for site in joined {
                    if self.peers.iter().all(|peer| peer.site != site) {
                        self.joined.insert(site.clone());
                        self.peers.push(Peer {
                            site,
                            connect: None,
                            send: false,
                        });
                    }
                }
            }
            Err(error) => problems.push(format!("[authority] {}", program::exit::chain(&error))),
        }
    }
}
