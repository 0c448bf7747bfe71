//! Keys that are believed by themselves: sites without a common authority know
//! each other by them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use objects::SiteId;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// SHA-256 of a public key, as it stands in a certificate.
pub type Key = [u8; 32];

/// Which keys are whose. A site that has one here is known by its keys only,
/// whoever vouches for its certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins(BTreeMap<Key, SiteId>);

impl Pins {
    /// Whoever has this key is `site`. A site that it was of before comes back.
    pub fn insert(&mut self, key: Key, site: SiteId) -> Option<SiteId> {
        self.0.insert(key, site)
    }

    /// Whether this site is known by its keys.
    pub(crate) fn names(&self, site: &SiteId) -> bool {
        self.0.values().any(|named| named == site)
    }

    /// Whose key is in this certificate.
    pub(crate) fn site_of(&self, certificate: &CertificateDer<'_>) -> Option<&SiteId> {
        self.0.get(&key_of(certificate)?)
    }
}

/// The key of a certificate; none if that is no certificate.
fn key_of(certificate: &CertificateDer<'_>) -> Option<Key> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let hash = digest(&SHA256, parsed.public_key().raw);
    hash.as_ref().try_into().ok()
}

/// The key of a certificate, as configurations name it: `sha256:9f86…`.
pub(crate) fn print_key(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::from("sha256:");
    for byte in key_of(certificate).unwrap_or_default() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
