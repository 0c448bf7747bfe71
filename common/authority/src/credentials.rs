//! What a site has: its key, its certificate, and whom it believes. How they
//! get there, and how they are renewed.

use std::path::PathBuf;

use objects::{SiteId, UnixTime};

use crate::directory::{self, exists};
use crate::message::{Granted, Question};
use crate::{Certificate, Error, Key, RevocationList};

/// A certificate is to be renewed when less than this part of its time is left.
pub const DUE: f64 = 1.0 / 3.0;

/// Where the parts lie, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Our certificate, and those above it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Those who may sign for our peers, and for us.
    pub authority: PathBuf,
    /// What is no longer believed.
    pub revoked: Option<PathBuf>,
}

impl Credentials {
    /// The certificate there is.
    pub fn certificate(&self) -> Result<Certificate, Error> {
        let text = directory::read(&self.certificate)?;
        Certificate::first_in(&text).map_err(|what| Error::bad(&self.certificate, what))
    }

    /// The key there is.
    pub fn key(&self) -> Result<Key, Error> {
        let text = directory::read_secret(&self.key)?;
        Key::from_pem(&text).map_err(|what| Error::bad(&self.key, what))
    }

    /// Those whom we believe.
    pub fn authorities(&self) -> Result<Vec<Certificate>, Error> {
        let text = directory::read(&self.authority)?;
        Certificate::all_in(&text).map_err(|what| Error::bad(&self.authority, what))
    }

    /// The question for a new certificate, for the key there is: one file
    /// changes, so that key and certificate never fail to fit.
    pub fn renewal(&self) -> Result<Question, Error> {
        let site = self.site()?;
        let request = self.key()?.request(&site)?;
        Ok(Question::Renew { request })
    }

    fn site(&self) -> Result<SiteId, Error> {
        let what = "names no site";
        let site = self.certificate()?.site();
        site.ok_or_else(|| Error::bad(&self.certificate, what))
    }

    /// Puts a renewed certificate in the place of the old one, if it is one for
    /// this site and key from somebody we believe, and lasts longer.
    pub fn replace(&self, granted: &Granted, now: UnixTime) -> Result<Certificate, Error> {
        let old = self.certificate()?;
        let believed = self.authorities()?;
        let new = check(granted, &self.site()?, &self.key()?, &believed, now)?;
        if new.not_after <= old.not_after {
            let what = "the new certificate lasts no longer than the old one";
            return Err(Error::Message(what.to_owned()));
        }
        directory::write(&self.certificate, &granted.certificate)?;
        Ok(new)
    }

    /// Puts a newer list of revoked certificates in the place of the old one;
    /// whether there was a newer one.
    pub fn replace_revoked(&self, granted: &Granted) -> Result<bool, Error> {
        let Some(path) = &self.revoked else {
            return Ok(false);
        };
        let new = check_revoked(granted, &self.authorities()?)?;
        if exists(path)? {
            let text = directory::read(path)?;
            let old =
                RevocationList::from_pem(&text).map_err(|what| Error::bad(path.as_path(), what))?;
            // That of another authority is for somebody else to replace.
            if old.issuer != new.issuer || new.number <= old.number {
                return Ok(false);
            }
        }
        directory::write(path, &granted.revoked)?;
        Ok(true)
    }

    /// Writes what was given to a site that had no certificate. Whom it believes
    /// already, it goes on to believe. The certificate is the last: where it is,
    /// everything is.
    pub fn install(&self, granted: &Granted) -> Result<(), Error> {
        if !exists(&self.authority)? {
            directory::write(&self.authority, &granted.authority)?;
        }
        self.replace_revoked(granted)?;
        directory::write(&self.certificate, &granted.certificate)
    }
}

/// Looks at what was given: it must be a certificate for `site` and `key` that
/// one of `believed` has signed. What comes with it must be what it should be, too.
pub fn check(
    granted: &Granted,
    site: &SiteId,
    key: &Key,
    believed: &[Certificate],
    now: UnixTime,
) -> Result<Certificate, Error> {
    let wrong = |what: &str| Error::Message(what.to_owned());
    let certificate = Certificate::first_in(&granted.certificate)
        .map_err(|what| wrong(&format!("the certificate {what}")))?;
    if certificate.site().as_ref() != Some(site) {
        return Err(wrong("the certificate is for another site"));
    }
    if certificate.public_key() != key.public_key() {
        return Err(wrong("the certificate is for another key"));
    }
    if !believed.iter().any(|ca| certificate.is_signed_by(ca)) {
        return Err(wrong("the certificate is not from the authority"));
    }
    if certificate.not_after <= now {
        return Err(wrong("the certificate has expired"));
    }
    check_revoked(granted, believed)?;
    Ok(certificate)
}

fn check_revoked(granted: &Granted, believed: &[Certificate]) -> Result<RevocationList, Error> {
    let list = RevocationList::from_pem(&granted.revoked)
        .map_err(|what| Error::Message(format!("the list of revoked certificates {what}")))?;
    if !believed.iter().any(|ca| list.is_signed_by(ca)) {
        let what = "the list of revoked certificates is not from the authority";
        return Err(Error::Message(what.to_owned()));
    }
    Ok(list)
}
