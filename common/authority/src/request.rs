//! Requests for certificates, which come from anybody.

use objects::SiteId;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use x509_parser::public_key::PublicKey;

use crate::certificate::{describe_key, sites};
use crate::{Error, Fingerprint, Refusal, pem};

/// Longest request that is looked at, in bytes of DER.
const MAX_LEN: usize = 16 << 10;

/// A request whose signature is right: who made it has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whom it is for, if it says so.
    pub subject: String,
    /// The sites it names.
    pub sites: Vec<String>,
    /// All other names that it wants.
    pub other_names: Vec<String>,
    /// Whether it wants to be an authority.
    pub wants_authority: bool,
    /// Kind and size of the key.
    pub key: String,
    /// SHA-256 of the public key.
    pub pin: Fingerprint,
    public_key: Vec<u8>,
}

impl Request {
    /// Reads the one request in a text.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
        match &pem::decode(text, &labels)?[..] {
            [der] => Self::parse(der),
            [] => Err("has no request for a certificate".to_owned()),
            _ => Err("has more than one request for a certificate".to_owned()),
        }
    }

    /// Reads a request.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        if der.len() > MAX_LEN {
            return Err("is longer than a request may be".to_owned());
        }
        let (rest, parsed) = X509CertificationRequest::from_der(der)
            .map_err(|error| format!("is not a request for a certificate: {error}"))?;
        if !rest.is_empty() {
            return Err("is not a request for a certificate: something follows it".to_owned());
        }
        let info = &parsed.certification_request_info;
        check_key(&info.subject_pki)?;
        parsed
            .verify_signature()
            .map_err(|_| "is not signed with its own key".to_owned())?;
        let mut request = Self {
            subject: info.subject.to_string(),
            sites: Vec::new(),
            other_names: Vec::new(),
            wants_authority: false,
            key: describe_key(&info.subject_pki),
            pin: Fingerprint::of(info.subject_pki.raw),
            public_key: info.subject_pki.raw.to_vec(),
        };
        for extension in parsed.requested_extensions().into_iter().flatten() {
            request.note(extension);
        }
        Ok(request)
    }

    fn note(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                let names = &names.general_names[..];
                self.sites.extend(sites(names));
                let others = names
                    .iter()
                    .filter(|name| sites(&[(*name).clone()]).is_empty());
                self.other_names.extend(others.map(show_name));
            }
            ParsedExtension::BasicConstraints(constraints) => {
                self.wants_authority |= constraints.ca;
            }
            // The authority decides what a key is for.
            _ => {}
        }
    }

    /// Whether a certificate for `site` is what it asks for: it may name nobody,
    /// but nobody else.
    pub fn check_for(&self, site: &SiteId) -> Result<(), Error> {
        let refused = |text: String| Err(Error::refused(Refusal::Request, text));
        if let Some(other) = self.sites.iter().find(|other| *other != site.as_str()) {
            return refused(format!("the request names site {other:?}, not {site}"));
        }
        if let Some(other) = self.other_names.first() {
            return refused(format!(
                "the request names {other:?}, and a site's certificate names a site only"
            ));
        }
        if self.wants_authority {
            return refused("the request wants to be an authority".to_owned());
        }
        Ok(())
    }

    /// The public key to be signed.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

fn show_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => {
            (*name).to_owned()
        }
        other => other.to_string(),
    }
}

/// Only keys that every peer believes.
fn check_key(key: &SubjectPublicKeyInfo<'_>) -> Result<(), String> {
    let good = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => (2048..=8192).contains(&rsa.key_size()),
        Ok(PublicKey::EC(point)) => matches!(point.key_size(), 256 | 384),
        _ => describe_key(key) == "Ed25519",
    };
    if good {
        return Ok(());
    }
    Err(format!(
        "has a key that is not taken ({}): ECDSA P-256 or P-384, Ed25519, RSA from 2048 bits",
        describe_key(key)
    ))
}
