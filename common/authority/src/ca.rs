//! The authority: it signs for sites, and remembers for whom.
//!
//! A site's certificate names it in a URI, `sitewire:site:SITE`, and serves
//! both ends of a connection, because either of two sites may be the one that
//! connects. What was issued lies in `issued/NUMBER.crt`, and does so before
//! anybody gets it: a number is never given twice, and what is not there can
//! be asked for again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use objects::{SiteId, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, SubjectPublicKeyInfo,
};

use crate::directory::{self, Directory, exists, make_directory, must_be_new, names};
use crate::key::{common_name, site_name};
use crate::{Certificate, Error, Key, Refusal, Request, Serial, Shape};

/// Name of the authority's own files.
pub const NAME: &str = "ca";
/// Where what was issued lies.
const ISSUED: &str = "issued";
/// Valid from this long ago, for peers whose clock is behind.
const CLOCK_SLACK: i64 = 3600;

/// From when and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Not before.
    pub begin: UnixTime,
    /// Not after.
    pub end: UnixTime,
}

impl Lifetime {
    /// From now on; a little earlier for peers whose clock is behind.
    pub fn from_now(now: UnixTime, length: Duration) -> Self {
        let length = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
        Self {
            begin: UnixTime::from_secs((now.secs() - CLOCK_SLACK).max(0)),
            end: UnixTime::from_secs(now.secs().saturating_add(length)),
        }
    }
}

/// By which names a certificate is known, and what it is good for.
pub(crate) struct Purpose {
    pub(crate) names: Vec<SanType>,
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
}

/// A certificate that was issued, and those above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// What it says.
    pub certificate: Certificate,
    /// It, and the authority's, as text.
    pub chain: String,
}

/// A certificate of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it says.
    pub certificate: Certificate,
    /// Since when it is no longer believed.
    pub revoked: Option<UnixTime>,
}

/// The two files of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteFiles {
    /// `SITE.crt`
    pub certificate: PathBuf,
    /// `SITE.key`
    pub key: PathBuf,
}

impl SiteFiles {
    /// Those of `name` in a directory.
    pub fn of(directory: &Directory, name: &str) -> Self {
        Self {
            certificate: directory.file(&format!("{name}.crt")),
            key: directory.file(&format!("{name}.key")),
        }
    }

    /// The key, which is made if there is none: somebody may have been killed
    /// before there was a certificate for it.
    pub fn key(&self, shape: Shape) -> Result<Key, Error> {
        if exists(&self.key)? {
            let text = directory::read_secret(&self.key)?;
            return Key::from_pem(&text).map_err(|what| Error::bad(&self.key, what));
        }
        let key = Key::generate(shape)?;
        directory::write_secret(&self.key, &key.to_pem())?;
        Ok(key)
    }
}

/// A site's name must not be that of the authority's files.
pub fn check_name(site: &SiteId) -> Result<(), Error> {
    if site.as_str() == NAME {
        let what = "a site cannot be called \"ca\": these files are the authority's";
        return Err(Error::Unknown(what.to_owned()));
    }
    Ok(())
}

/// An authority that can sign.
pub struct Authority {
    pub(crate) directory: Directory,
    pub(crate) issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    /// Its certificate, and those above it, as text.
    chain: String,
}

impl Authority {
    /// Makes one in a directory, signed by itself. What another attempt has left
    /// unfinished is finished.
    pub fn create(
        path: &Path,
        name: &str,
        shape: Shape,
        lifetime: Lifetime,
        now: UnixTime,
    ) -> Result<Self, Error> {
        let directory = Directory::create(path)?;
        let files = SiteFiles::of(&directory, NAME);
        must_be_new(&files.certificate)?;
        let key = files.key(shape)?;
        let mut params = params(common_name(name), lifetime);
        params.serial_number = Some(SerialNumber::from_slice(Serial::random().as_bytes()));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params
            .self_signed(key.pair())
            .map_err(Error::crypto("an authority"))?;
        directory::write(&files.certificate, &certificate.pem())?;
        Self::in_directory(directory, now)
    }

    /// Reads the one in a directory, and checks that its files belong together.
    pub fn open(path: &Path, now: UnixTime) -> Result<Self, Error> {
        Self::in_directory(Directory::open(path)?, now)
    }

    fn in_directory(directory: Directory, now: UnixTime) -> Result<Self, Error> {
        let files = SiteFiles::of(&directory, NAME);
        let text = directory::read(&files.certificate)?;
        let bad = |what: String| Error::bad(&files.certificate, what);
        let all = Certificate::all_in(&text).map_err(bad)?;
        let certificate = all[0].clone();
        let key = directory::read_secret(&files.key)?;
        let key = Key::from_pem(&key).map_err(|what| Error::bad(&files.key, what))?;
        if !certificate.is_authority {
            return Err(bad("is not a certificate of an authority".to_owned()));
        }
        if certificate.public_key() != key.public_key() {
            let what = format!("is not the key of {}", files.certificate.display());
            return Err(Error::bad(&files.key, what));
        }
        if certificate.not_after <= now {
            return Err(bad("has expired".to_owned()));
        }
        let der = certificate.der().into();
        let issuer = Issuer::from_ca_cert_der(&der, key.into_pair())
            .map_err(|error| bad(error.to_string()))?;
        let authority = Self {
            chain: all.iter().map(Certificate::to_pem).collect(),
            directory,
            issuer,
            certificate,
        };
        authority.finish_revocations(now)?;
        Ok(authority)
    }

    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its certificate and those above it, as text.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// Where it is.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Makes the key and the certificate of a site, in its directory.
    pub fn issue(
        &self,
        site: &SiteId,
        shape: Shape,
        lifetime: Lifetime,
    ) -> Result<Certificate, Error> {
        check_name(site)?;
        let files = SiteFiles::of(&self.directory, site.as_str());
        must_be_new(&files.certificate)?;
        let key = files.key(shape)?;
        let issued = self.sign(site, &key.public_key(), lifetime)?;
        directory::write(&files.certificate, &issued.chain)?;
        Ok(issued.certificate)
    }

    /// Signs what somebody asks for on behalf of `site`.
    pub fn sign_request(
        &self,
        site: &SiteId,
        request: &Request,
        lifetime: Lifetime,
    ) -> Result<Issued, Error> {
        check_name(site)?;
        request.check_for(site)?;
        self.sign(site, request.public_key(), lifetime)
    }

    /// A certificate for the same key, in place of the one in the directory.
    pub fn renew(&self, site: &SiteId, lifetime: Lifetime) -> Result<Certificate, Error> {
        check_name(site)?;
        let files = SiteFiles::of(&self.directory, site.as_str());
        let text = directory::read(&files.certificate)?;
        let old =
            Certificate::first_in(&text).map_err(|what| Error::bad(&files.certificate, what))?;
        if old.site().as_ref() != Some(site) {
            let what = format!("is not a certificate of site {site}");
            return Err(Error::bad(&files.certificate, what));
        }
        let issued = self.sign(site, old.public_key(), lifetime)?;
        directory::write(&files.certificate, &issued.chain)?;
        Ok(issued.certificate)
    }

    /// Signs a key for `site`, and remembers it.
    pub(crate) fn sign(
        &self,
        site: &SiteId,
        public_key: &[u8],
        lifetime: Lifetime,
    ) -> Result<Issued, Error> {
        let purpose = Purpose {
            names: vec![site_name(site)?],
            usages: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        };
        self.sign_for(site.as_str(), purpose, public_key, lifetime)
    }

    /// Signs a key for whoever is called that, and remembers it.
    pub(crate) fn sign_for(
        &self,
        name: &str,
        purpose: Purpose,
        public_key: &[u8],
        lifetime: Lifetime,
    ) -> Result<Issued, Error> {
        self.key_must_be_good(public_key)?;
        // A chain is no longer valid than its authority: do not promise more.
        let end = lifetime.end.min(self.certificate.not_after);
        let mut params = params(common_name(name), Lifetime { end, ..lifetime });
        let serial = self.new_serial()?;
        params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = purpose.usages;
        params.subject_alt_names = purpose.names;
        let key = SubjectPublicKeyInfo::from_der(public_key)
            .map_err(Error::crypto("a certificate for such a key"))?;
        let signed = params
            .signed_by(&key, &self.issuer)
            .map_err(Error::crypto("a certificate"))?;
        let certificate = Certificate::parse(signed.der())
            .map_err(|what| Error::bad(self.issued_path(&serial), what))?;
        let chain = certificate.to_pem() + &self.chain;
        make_directory(&self.directory.file(ISSUED))?;
        directory::write(&self.issued_path(&serial), &certificate.to_pem())?;
        Ok(Issued { certificate, chain })
    }

    /// A key that was revoked once may be in wrong hands.
    fn key_must_be_good(&self, public_key: &[u8]) -> Result<(), Error> {
        for (serial, _) in self.revoked()? {
            let record = self.issued_certificate(&serial)?;
            if record.is_some_and(|record| record.public_key() == public_key) {
                let text = format!("the key was revoked with certificate {serial}: make a new one");
                return Err(Error::refused(Refusal::Revoked, text));
            }
        }
        Ok(())
    }

    fn new_serial(&self) -> Result<Serial, Error> {
        loop {
            let serial = Serial::random();
            if serial != self.certificate.serial && !exists(&self.issued_path(&serial))? {
                return Ok(serial);
            }
        }
    }

    fn issued_path(&self, serial: &Serial) -> PathBuf {
        self.directory.file(ISSUED).join(format!("{serial}.crt"))
    }

    /// What was issued under this number.
    pub fn issued_certificate(&self, serial: &Serial) -> Result<Option<Certificate>, Error> {
        let path = self.issued_path(serial);
        if !exists(&path)? {
            return Ok(None);
        }
        let text = directory::read(&path)?;
        Certificate::first_in(&text)
            .map(Some)
            .map_err(|what| Error::bad(&path, what))
    }

    /// All that was issued, the oldest first.
    pub fn issued(&self) -> Result<Vec<Record>, Error> {
        let revoked = self.revoked()?;
        let mut records = Vec::new();
        for name in names(&self.directory.file(ISSUED))? {
            let serial = name.strip_suffix(".crt").map(str::parse::<Serial>);
            let Some(Ok(serial)) = serial else { continue };
            records.extend(self.issued_certificate(&serial)?.map(|certificate| Record {
                certificate,
                revoked: revoked.get(&serial).copied(),
            }));
        }
        records.sort_by_key(|record| record.certificate.not_before);
        Ok(records)
    }
}

/// What all certificates have in common.
fn params(subject: rcgen::DistinguishedName, lifetime: Lifetime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(lifetime.begin);
    params.not_after = epoch + since_1970(lifetime.end);
    params
}

/// Since 1970, as far as certificates can tell: to the end of the year 9999.
pub(crate) fn since_1970(time: UnixTime) -> Duration {
    const LAST: u64 = 253_402_300_799;
    Duration::from_secs(u64::try_from(time.secs()).unwrap_or(0).min(LAST))
}
