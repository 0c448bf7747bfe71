//! Private keys.

use objects::SiteId;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    PKCS_RSA_SHA512, PublicKeyData, RsaKeySize, SanType,
};

use crate::{Error, Fingerprint, SITE_URI};

/// What keys look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// ECDSA on P-256: small, and known everywhere.
    #[default]
    Ecdsa,
    /// RSA with 2048 bits, signing with SHA-512: what Checkmk makes.
    Rsa,
}

/// A private key.
pub struct Key(KeyPair);

impl Key {
    /// Makes one.
    pub fn generate(shape: Shape) -> Result<Self, Error> {
        let pair = match shape {
            Shape::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Shape::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA512, RsaKeySize::_2048),
        };
        pair.map(Self).map_err(Error::crypto("a key"))
    }

    /// Reads one.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let wrong = |_| "is not a private key".to_owned();
        let pair = KeyPair::from_pem(text).map_err(wrong)?;
        if pair.algorithm() != &PKCS_RSA_SHA256 {
            return Ok(Self(pair));
        }
        KeyPair::from_pem_and_sign_algo(text, &PKCS_RSA_SHA512)
            .map(Self)
            .map_err(wrong)
    }

    /// As text.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// The public half, as it stands in certificates.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// SHA-256 of the public half.
    pub fn pin(&self) -> Fingerprint {
        Fingerprint::of(&self.public_key())
    }

    /// A request for a certificate for `site`, as text.
    pub fn request(&self, site: &SiteId) -> Result<String, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(site.as_str());
        params.subject_alt_names = vec![site_name(site)?];
        params
            .serialize_request(&self.0)
            .and_then(|request| request.pem())
            .map_err(Error::crypto("a request"))
    }

    pub(crate) fn into_pair(self) -> KeyPair {
        self.0
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

pub(crate) fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// The name by which peers know a site.
pub(crate) fn site_name(site: &SiteId) -> Result<SanType, Error> {
    let uri = format!("{SITE_URI}{site}");
    uri.try_into()
        .map(SanType::URI)
        .map_err(Error::crypto("a name"))
}
