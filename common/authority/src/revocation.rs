//! What is no longer believed: one file `revoked/NUMBER` for each certificate,
//! and from them the signed list `ca.crl`, which listeners read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use objects::{SiteId, UnixTime};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::ca::since_1970;
use crate::directory::{self, exists, make_directory, names};
use crate::{Authority, Certificate, Error, Serial, pem};

/// Where the numbers of what was revoked lie.
const REVOKED: &str = "revoked";
/// Until when a list promises that there is a newer one.
pub const NEXT_UPDATE: Duration = Duration::from_secs(30 * 86_400);

/// A signed list of what is no longer believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    der: Vec<u8>,
    /// Whose list it is.
    pub issuer: String,
    /// Grows from list to list.
    pub number: u64,
    /// When it was signed.
    pub this_update: UnixTime,
    /// Until when there is to be a newer one, if it says so.
    pub next_update: Option<UnixTime>,
    /// What is no longer believed, and since when.
    pub revoked: BTreeMap<Serial, UnixTime>,
}

impl RevocationList {
    /// Reads the one list in a text.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        match &pem::decode(text, &["X509 CRL"])?[..] {
            [der] => Self::parse(der),
            [] => Err("has no list of revoked certificates".to_owned()),
            _ => Err("has more than one list of revoked certificates".to_owned()),
        }
    }

    /// Reads one.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let (rest, list) = CertificateRevocationList::from_der(der)
            .map_err(|error| format!("is not a list of revoked certificates: {error}"))?;
        if !rest.is_empty() {
            return Err("is not a list of revoked certificates: something follows it".to_owned());
        }
        let number = list.crl_number().map(|number| number.to_u64_digits());
        let revoked = list.iter_revoked_certificates().map(|revoked| {
            let since = UnixTime::from_secs(revoked.revocation_date.timestamp());
            (Serial::from_bytes(revoked.raw_serial()), since)
        });
        Ok(Self {
            issuer: list.issuer().to_string(),
            number: number.map_or(0, |digits| match digits[..] {
                [] => 0,
                [number] => number,
                _ => u64::MAX,
            }),
            this_update: UnixTime::from_secs(list.last_update().timestamp()),
            next_update: list
                .next_update()
                .map(|time| UnixTime::from_secs(time.timestamp())),
            revoked: revoked.collect(),
            der: der.to_vec(),
        })
    }

    /// Whether `authority` has signed it.
    pub fn is_signed_by(&self, authority: &Certificate) -> bool {
        let (Ok((_, list)), Ok((_, other))) = (
            CertificateRevocationList::from_der(&self.der),
            X509Certificate::from_der(authority.der()),
        ) else {
            return false;
        };
        list.issuer().as_raw() == other.subject().as_raw()
            && list.verify_signature(other.public_key()).is_ok()
    }
}

impl Authority {
    /// No longer believes in any certificate of `site` that has not expired; the
    /// numbers. Its invitations are withdrawn.
    pub fn revoke_site(&self, site: &SiteId, now: UnixTime) -> Result<Vec<Serial>, Error> {
        let path = self.directory.file(&format!("{site}.crt"));
        let mut certificates: Vec<_> = self.issued()?.into_iter().map(|r| r.certificate).collect();
        // Earlier releases kept no record but this file.
        if exists(&path)? {
            let text = directory::read(&path)?;
            let certificate =
                Certificate::first_in(&text).map_err(|what| Error::bad(&path, what))?;
            if certificate.is_signed_by(self.certificate()) {
                certificates.push(certificate);
            }
        }
        certificates.retain(|certificate| {
            certificate.site().as_ref() == Some(site) && certificate.not_after > now
        });
        let mut serials: Vec<_> = certificates.into_iter().map(|c| c.serial).collect();
        serials.sort();
        serials.dedup();
        if serials.is_empty() {
            let what = format!("site {site} has no certificate that could be revoked");
            return Err(Error::Unknown(what));
        }
        self.forget_site(site)?;
        for serial in &serials {
            self.mark_revoked(serial, now)?;
        }
        self.write_revocations(now, NEXT_UPDATE)?;
        Ok(serials)
    }

    /// No longer believes in the certificate with this number.
    pub fn revoke(&self, serial: &Serial, now: UnixTime) -> Result<Certificate, Error> {
        let Some(certificate) = self.issued_certificate(serial)? else {
            let what = format!("no certificate {serial} was issued here");
            return Err(Error::Unknown(what));
        };
        self.mark_revoked(serial, now)?;
        self.write_revocations(now, NEXT_UPDATE)?;
        Ok(certificate)
    }

    fn mark_revoked(&self, serial: &Serial, now: UnixTime) -> Result<(), Error> {
        let directory = self.directory.file(REVOKED);
        make_directory(&directory)?;
        let path = directory.join(serial.to_string());
        if exists(&path)? {
            return Ok(());
        }
        directory::write(&path, &format!("{}\n", now.secs()))
    }

    /// What is no longer believed, and since when.
    pub fn revoked(&self) -> Result<BTreeMap<Serial, UnixTime>, Error> {
        let directory = self.directory.file(REVOKED);
        let mut revoked = BTreeMap::new();
        for name in names(&directory)? {
            let Ok(serial) = name.parse::<Serial>() else {
                continue;
            };
            let path = directory.join(name);
            let text = directory::read(&path)?;
            let secs = text
                .trim()
                .parse()
                .map_err(|_| Error::bad(&path, "is not a time"))?;
            revoked.insert(serial, UnixTime::from_secs(secs));
        }
        Ok(revoked)
    }

    /// Where the list is.
    pub fn revocations_path(&self) -> PathBuf {
        self.directory.file("ca.crl")
    }

    /// The list as it is.
    pub fn revocations(&self) -> Result<RevocationList, Error> {
        let path = self.revocations_path();
        let text = directory::read(&path)?;
        RevocationList::from_pem(&text).map_err(|what| Error::bad(&path, what))
    }

    /// Signs the list anew.
    pub fn write_revocations(&self, now: UnixTime, next_update: Duration) -> Result<(), Error> {
        let last = self.revocations().map_or(0, |list| list.number);
        let now_number = u64::try_from(now.secs()).unwrap_or(0);
        let number = last.saturating_add(1).max(now_number);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let revoked = self
            .revoked()?
            .into_iter()
            .map(|(serial, since)| RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial.as_bytes()),
                revocation_time: epoch + since_1970(since),
                reason_code: None,
                invalidity_date: None,
            });
        let list = CertificateRevocationListParams {
            this_update: epoch + since_1970(now),
            next_update: epoch + since_1970(now) + next_update,
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let text = list
            .signed_by(&self.issuer)
            .and_then(|list| list.pem())
            .map_err(Error::crypto("a list of revoked certificates"))?;
        directory::write(&self.revocations_path(), &text)
    }

    /// Somebody may have been killed between the mark and the list; and a list
    /// is signed anew when half of its time is over.
    pub(crate) fn finish_revocations(&self, now: UnixTime) -> Result<(), Error> {
        if let Ok(list) = self.revocations() {
            let marked = self.revoked()?;
            let complete = marked
                .keys()
                .all(|serial| list.revoked.contains_key(serial));
            let half = list.next_update.is_some_and(|next| {
                now.secs() - list.this_update.secs() < next.secs() - now.secs()
            });
            if complete && half && list.is_signed_by(self.certificate()) {
                return Ok(());
            }
        }
        self.write_revocations(now, NEXT_UPDATE)
    }
}
