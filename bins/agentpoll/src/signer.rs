//! The authority that signs for agents, and what we show to them.

use std::path::Path;
use std::time::SystemTime;

use authority::credentials::DUE;
use authority::{Authority, Certificate, Lifetime, Request, directory};
use objects::UnixTime;
use program::exit::chain;

use crate::config::{Shown, Signing};
use crate::memory::Memory;
use crate::trust::{self, Authorities, Own};

/// Signs for agents. Others may work in the authority's directory, too, so it is
/// taken for each signature anew.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    signing: Signing,
}

/// What an agent is sent.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// Its certificate.
    pub(crate) leaf: String,
    /// The authority's.
    pub(crate) ca: String,
}

impl Signer {
    pub(crate) fn new(signing: Signing) -> Self {
        Self { signing }
    }

    /// Whom we believe.
    pub(crate) fn authorities(&self) -> Result<Authorities, String> {
        let directory = &self.signing.directory;
        Authorities::read(&directory.join("ca.crt"), Some(&directory.join("ca.crl")))
    }

    /// What we show to agents. If it is a certificate of our own, it is made
    /// when there is none, and made anew before it runs out.
    pub(crate) fn own(&self, memory: &Memory) -> Result<Own, String> {
        let said = |error: authority::Error| chain(&error);
        let ca = self.signing.directory.join("ca.crt");
        if self.signing.shown == Shown::Authority {
            let key = self.signing.directory.join("ca.key");
            let key = directory::read_secret(&key).map_err(said)?;
            return trust::own(&directory::read(&ca).map_err(said)?, &key);
        }
        let (certificate, key) = (memory.file("client.crt"), memory.file("client.key"));
        if let Some(own) = self.present(&certificate, &key) {
            return Ok(own);
        }
        let authority = self.open()?;
        let (new, issued) = authority.issue_poller(self.lifetime()).map_err(said)?;
        directory::write_secret(&key, &new.to_pem()).map_err(said)?;
        directory::write(&certificate, &issued.chain).map_err(said)?;
        tracing::info!(
            "agentpoll has a new certificate, {}",
            issued.certificate.serial
        );
        trust::own(&issued.chain, &new.to_pem())
    }

    /// The pair there is, if it is good for a while yet.
    fn present(&self, certificate: &Path, key: &Path) -> Option<Own> {
        let chain = directory::read(certificate).ok()?;
        let shown = Certificate::first_in(&chain).ok()?;
        let believed = self.authorities().ok()?;
        let is_ours = believed
            .certificates
            .iter()
            .any(|ca| shown.is_signed_by(ca));
        if !is_ours || shown.left(now()) < DUE {
            return None;
        }
        trust::own(&chain, &directory::read_secret(key).ok()?).ok()
    }

    /// Signs what the agent of a host asks for.
    pub(crate) fn sign(&self, host: &str, address: &str, csr: &str) -> Result<Signed, String> {
        let said = |error: authority::Error| chain(&error);
        let request =
            Request::from_pem(csr).map_err(|what| format!("the agent's request {what}"))?;
        let authority = self.open()?;
        let issued = authority
            .sign_agent(host, address, &request, self.lifetime())
            .map_err(said)?;
        Ok(Signed {
            leaf: issued.certificate.to_pem(),
            ca: authority.certificate().to_pem(),
        })
    }

    /// Whether a certificate of an agent should be replaced by a newer one of
    /// ours.
    pub(crate) fn is_due(&self, shown: &Certificate) -> bool {
        shown.left(now()) < DUE
            && self
                .authorities()
                .is_ok_and(|known| known.certificates.iter().any(|ca| shown.is_signed_by(ca)))
    }

    fn open(&self) -> Result<Authority, String> {
        Authority::open(&self.signing.directory, now()).map_err(|error| chain(&error))
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::from_now(now(), self.signing.lifetime)
    }
}

fn now() -> UnixTime {
    SystemTime::now().into()
}
