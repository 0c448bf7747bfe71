//! The authority: it signs for sites.
//!
//! A site's certificate names it in a URI, `sitewire:site:SITE`, and serves
//! both ends of a connection, because either of two sites may be the one that
//! connects. Keys are ECDSA on P-256: small, and known everywhere.

use std::time::{Duration, SystemTime};

use objects::SiteId;
use program::{Failure, Status};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use x509_parser::pem::Pem;

use crate::files::{CertificateFiles, Pair};

/// Valid from this long ago, for peers whose clock is behind.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// An authority that can sign.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    not_after: Duration,
}

impl Authority {
    /// Name of its files.
    pub(crate) const FILES: &'static str = "ca";

    /// Makes a new one, signed by itself.
    pub(crate) fn init(name: &str, now: SystemTime, days: u32) -> Result<Pair, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let now = since_1970(now);
        let mut params = params(name, now, now + days * DAY);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Reads one, and checks that its two files belong together.
    pub(crate) fn read(files: &CertificateFiles) -> Result<Self, Failure> {
        let pair = files.read()?;
        let bad = |path: &std::path::Path, what: &str| {
            Failure::new(Status::Failed, format!("{}: {what}", path.display()))
        };
        let key = KeyPair::from_pem(&pair.key).map_err(|_| bad(&files.key, "is not a key"))?;
        let not_a_certificate = |_| bad(&files.certificate, "is not a certificate");
        let pem = Pem::iter_from_buffer(pair.certificate.as_bytes())
            .next()
            .ok_or_else(|| bad(&files.certificate, "has no certificate"))?
            .map_err(not_a_certificate)?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&pem.contents)
            .map_err(|_| bad(&files.certificate, "is not a certificate"))?;
        if !certificate.is_ca() {
            return Err(bad(
                &files.certificate,
                "is not a certificate of an authority",
            ));
        }
        if certificate.public_key().raw != key.subject_public_key_info() {
            let what = format!("is not the key of {}", files.certificate.display());
            return Err(bad(&files.key, &what));
        }
        let not_after = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        let not_after = Duration::from_secs(not_after);
        if not_after <= since_1970(SystemTime::now()) {
            return Err(bad(&files.certificate, "has expired"));
        }
        let issuer = Issuer::from_ca_cert_der(&pem.contents.as_slice().into(), key)
            .map_err(|error| bad(&files.certificate, &error.to_string()))?;
        Ok(Self { issuer, not_after })
    }

    /// Makes a key and a certificate for `site`.
    pub(crate) fn issue(
        &self,
        site: &SiteId,
        now: SystemTime,
        days: u32,
    ) -> Result<Pair, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let now = since_1970(now);
        // A chain is no longer valid than its authority: do not promise more.
        let mut params = params(site.as_str(), now, (now + days * DAY).min(self.not_after));
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let uri = format!("sitewire:site:{site}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// What all certificates have in common; times since 1970.
fn params(name: &str, now: Duration, not_after: Duration) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.not_before = epoch + now.saturating_sub(CLOCK_SLACK);
    params.not_after = epoch + not_after;
    params
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
