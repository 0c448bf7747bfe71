//! What stands in a certificate.

use objects::{SiteId, UnixTime};
use x509_parser::asn1_rs::Sequence;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::{Fingerprint, SITE_URI, Serial, pem};

/// A certificate, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// The sites it names; one that a peer believes has exactly one.
    pub sites: Vec<String>,
    /// All URIs that it names.
    pub uris: Vec<String>,
    /// Whom it is for.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Its number.
    pub serial: Serial,
    /// From when it is valid.
    pub not_before: UnixTime,
    /// Until when it is valid.
    pub not_after: UnixTime,
    /// Kind and size of its key.
    pub key: String,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// SHA-256 of the public key.
    pub pin: Fingerprint,
    public_key: Vec<u8>,
}

impl Certificate {
    /// Reads one.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let (rest, parsed) = X509Certificate::from_der(der)
            .map_err(|error| format!("is not a certificate: {error}"))?;
        if !rest.is_empty() {
            return Err("is not a certificate: something follows it".to_owned());
        }
        let names = parsed
            .subject_alternative_name()
            .map_err(|error| format!("its alternative names are unreadable: {error}"))?
            .map_or(&[][..], |extension| &extension.value.general_names);
        let validity = parsed.validity();
        let public_key = parsed.public_key();
        Ok(Self {
            sites: sites(names),
            uris: uris(names).map(str::to_owned).collect(),
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            is_authority: parsed.is_ca(),
            serial: Serial::from_bytes(parsed.raw_serial()),
            not_before: UnixTime::from_secs(validity.not_before.timestamp()),
            not_after: UnixTime::from_secs(validity.not_after.timestamp()),
            key: describe_key(public_key),
            fingerprint: Fingerprint::of(der),
            pin: Fingerprint::of(public_key.raw),
            public_key: public_key.raw.to_vec(),
            der: der.to_vec(),
        })
    }

    /// Reads all in a text: at least one.
    pub fn all_in(text: &str) -> Result<Vec<Self>, String> {
        let ders = pem::decode(text, &["CERTIFICATE", "X509 CERTIFICATE"])?;
        if ders.is_empty() {
            return Err("has no certificate".to_owned());
        }
        ders.iter().map(|der| Self::parse(der)).collect()
    }

    /// Reads the first in a text.
    pub fn first_in(text: &str) -> Result<Self, String> {
        Self::all_in(text).map(|mut all| all.swap_remove(0))
    }

    /// The site, if it names exactly one: with two, each end might believe in
    /// another.
    pub fn site(&self) -> Option<SiteId> {
        match &self.sites[..] {
            [site] => SiteId::new(site).ok(),
            _ => None,
        }
    }

    /// Whether `authority` vouches for it, whatever the dates say.
    pub fn is_signed_by(&self, authority: &Self) -> bool {
        let (Ok((_, own)), Ok((_, other))) = (
            X509Certificate::from_der(&self.der),
            X509Certificate::from_der(&authority.der),
        ) else {
            return false;
        };
        authority.is_authority
            && own.issuer().as_raw() == other.subject().as_raw()
            && own.verify_signature(Some(other.public_key())).is_ok()
    }

    /// How much of its time is left, from 0 to 1.
    pub fn left(&self, now: UnixTime) -> f64 {
        let whole = self.not_after.as_secs_f64() - self.not_before.as_secs_f64();
        let left = self.not_after.as_secs_f64() - now.as_secs_f64();
        if whole <= 0.0 {
            return 0.0;
        }
        (left / whole).clamp(0.0, 1.0)
    }

    /// Its public key, as it stands in the certificate.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The algorithm of the public key, as the contents of its DER sequence, and
    /// the key itself: for who checks signatures by hand.
    pub fn key_parts(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let (_, key) = SubjectPublicKeyInfo::from_der(&self.public_key).ok()?;
        // SEQUENCE { SEQUENCE { algorithm }, BIT STRING }
        let (_, outer) = Sequence::from_der(&self.public_key).ok()?;
        let (_, algorithm) = Sequence::from_der(&outer.content).ok()?;
        Some((
            algorithm.content.to_vec(),
            key.subject_public_key.data.to_vec(),
        ))
    }

    /// As bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// As text.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }
}

pub(crate) fn sites(names: &[GeneralName<'_>]) -> Vec<String> {
    let sites = uris(names).filter_map(|uri| uri.strip_prefix(SITE_URI));
    sites.map(str::to_owned).collect()
}

fn uris<'n>(names: &'n [GeneralName<'_>]) -> impl Iterator<Item = &'n str> {
    names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    })
}

/// In the words of people: "ECDSA P-256", "RSA 2048".
pub(crate) fn describe_key(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(point)) => match point.key_size() {
            // P-521 has 66 bytes for a coordinate, of which 7 bits are unused.
            528 => "ECDSA P-521".to_owned(),
            size => format!("ECDSA P-{size}"),
        },
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".to_owned(),
        _ => key.algorithm.algorithm.to_id_string(),
    }
}
