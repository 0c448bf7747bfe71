//! The files of Auto-TLS, through which openITCOCKPIT's server gives us a
//! certificate and tells us whom to believe from then on.
//!
//! The certificate and the authority belong together, and are replaced together:
//! both are written aside as `NAME.new` and synced, then renamed, the
//! certificate first. What a process that was killed in between has left:
//!
//! | left behind | it had | what is done |
//! |---|---|---|
//! | both `.new`, or that of the certificate | not begun to rename | they are removed |
//! | that of the authority | renamed the certificate | the authority is renamed, too |
//!
//! What was there before stays as `NAME.old`, and comes back if what is there
//! cannot be used.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::collect;
use crate::config::{AutoTls, KeyType};

/// Longest file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Most certificates in one.
const MAX_CERTIFICATES: usize = 64;

/// A chain with the key of its first certificate.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// What serves connections after the exchange.
pub(super) struct Material {
    pub(super) identity: Identity,
    pub(super) authorities: Vec<CertificateDer<'static>>,
}

/// Whether an exchange has taken place: all three files are there, whatever is
/// in them.
pub(super) fn is_done(files: &AutoTls) -> bool {
    files.enabled
        && [&files.certificate, &files.key, &files.ca]
            .iter()
            .all(|path| path.exists())
}

/// What the files say. If it is nothing, what they said before is brought back.
/// Gives the reason with it if so.
pub(super) fn load(files: &AutoTls) -> Result<(Material, Option<String>), String> {
    let error = match read(files, &files.certificate, &files.ca) {
        Ok(material) => return Ok((material, None)),
        Err(error) => error,
    };
    let (certificate, ca) = (beside(&files.certificate, "old"), beside(&files.ca, "old"));
    match read(files, &certificate, &ca) {
        Ok(material) => {
            put_back(&certificate, &files.certificate)
                .and_then(|()| put_back(&ca, &files.ca))
                .map_err(|cause| format!("{error}; the older files cannot be put back: {cause}"))?;
            Ok((material, Some(error)))
        }
        Err(_) => Err(error),
    }
}

/// Whether the files can be used. Changes nothing.
pub(super) fn check(files: &AutoTls) -> Result<(), String> {
    read(files, &files.certificate, &files.ca).map(drop)
}

/// Ends what a process that was killed has begun. Says what it found.
pub(super) fn recover(files: &AutoTls) -> io::Result<Option<&'static str>> {
    let (certificate, ca) = (beside(&files.certificate, "new"), beside(&files.ca, "new"));
    match (certificate.exists(), ca.exists()) {
        (false, false) => Ok(None),
        (false, true) => {
            fs::rename(&ca, &files.ca)?;
            program::file::sync_directory(&files.ca)?;
            Ok(Some(
                "an exchange of certificates was cut short at its end: it is complete now",
            ))
        }
        (true, _) => {
            remove(&certificate)?;
            remove(&ca)?;
            Ok(Some(
                "an exchange of certificates was cut short: it did not take place",
            ))
        }
    }
}

/// A request to be signed, which is kept as a file, too. Makes a key if there
/// is none that can be used. Says so if there was one.
pub(super) fn request(
    files: &AutoTls,
    domain: Option<&str>,
) -> Result<(String, Option<String>), String> {
    let (key, note) = own_key(files)?;
    let hostname = hostname();
    let domain = match domain {
        Some(domain) if !domain.is_empty() => domain,
        _ => hostname.as_str(),
    };
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "subject");
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    let name = domain
        .try_into()
        .map_err(|_| "the domain is no DNS name".to_owned())?;
    params.subject_alt_names = vec![SanType::DnsName(name)];
    let pem = params
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(|error| format!("cannot make a request: {error}"))?;
    let pem = pem.replace("\r\n", "\n");
    write(&files.csr, pem.as_bytes()).map_err(|error| named(&files.csr, &error))?;
    Ok((pem, note))
}

/// Puts a signed certificate and its authority in their places, if they can be
/// used. On an error all files are what they were.
pub(super) fn accept(files: &AutoTls, signed: &str, ca: &str) -> Result<(), Refusal> {
    let refuse = |what: String| Refusal::Unusable(what);
    let chain =
        certificates(signed.as_bytes()).map_err(|what| refuse(format!("signed: {what}")))?;
    certificates(ca.as_bytes()).map_err(|what| refuse(format!("ca: {what}")))?;
    let key = read_key(&files.key).map_err(Refusal::Unusable)?;
    check_pair(&chain, &key).map_err(|what| refuse(format!("signed: {what}")))?;
    store(files, signed.as_bytes(), ca.as_bytes()).map_err(Refusal::Io)
}

/// Why a certificate was not taken.
pub(super) enum Refusal {
    Unusable(String),
    Io(io::Error),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unusable(what) => f.write_str(what),
            Self::Io(error) => write!(f, "cannot write: {error}"),
        }
    }
}

/// The administrator's own certificate.
pub(super) fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let chain = read_certificates(certificate)?;
    let key_of_it = read_key(key)?;
    check_pair(&chain, &key_of_it).map_err(|what| format!("{}: {what}", key.display()))?;
    Ok(Identity {
        chain,
        key: key_of_it,
    })
}

fn read(files: &AutoTls, certificate: &Path, ca: &Path) -> Result<Material, String> {
    let mut identity = read_identity(certificate, &files.key)?;
    let authorities = read_certificates(ca)?;
    // What is shown is the certificate followed by the authority.
    identity.chain.extend(authorities.iter().cloned());
    Ok(Material {
        identity,
        authorities,
    })
}

fn store(files: &AutoTls, certificate: &[u8], ca: &[u8]) -> io::Result<()> {
    let new = (beside(&files.certificate, "new"), beside(&files.ca, "new"));
    keep(&files.certificate)?;
    keep(&files.ca)?;
    let written = write(&new.0, certificate)
        .and_then(|()| write(&new.1, ca))
        .and_then(|()| fs::rename(&new.0, &files.certificate));
    if let Err(error) = written {
        // Nothing has changed yet. What cannot be removed now is at the start.
        let _ = remove(&new.0);
        let _ = remove(&new.1);
        return Err(error);
    }
    // The order of the two must be that on the disk.
    program::file::sync_directory(&files.certificate)?;
    fs::rename(&new.1, &files.ca)?;
    program::file::sync_directory(&files.ca)
}

/// Remembers what is there.
fn keep(path: &Path) -> io::Result<()> {
    match fs::read(path) {
        Ok(bytes) => write(&beside(path, "old"), &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn put_back(old: &Path, path: &Path) -> io::Result<()> {
    write(path, &fs::read(old)?)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    program::file::replace(path, 0o600, |out| out.write_all(bytes))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The key we have, or a new one. What is no key is moved aside: there is nothing
/// it is good for.
fn own_key(files: &AutoTls) -> Result<(KeyPair, Option<String>), String> {
    let mut note = None;
    match fs::symlink_metadata(&files.key) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(named(&files.key, &error)),
        Ok(_) => {
            // What cannot be read now may be a good key.
            let pem = read_file(&files.key)?;
            let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| error.to_string());
            let key =
                key.and_then(|key| KeyPair::try_from(&key).map_err(|error| error.to_string()));
            match key {
                Ok(key) => return Ok((key, None)),
                Err(error) => note = Some(format!("{}: {error}", files.key.display())),
            }
            fs::rename(&files.key, beside(&files.key, "bad"))
                .map_err(|error| named(&files.key, &error))?;
        }
    }
    let key = match files.key_type {
        KeyType::Ecdsa => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyType::Rsa => {
            KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_4096)
        }
    };
    let key = key.map_err(|error| format!("cannot make a key: {error}"))?;
    let pem = key.serialize_pem().replace("\r\n", "\n");
    write(&files.key, pem.as_bytes()).map_err(|error| named(&files.key, &error))?;
    Ok((key, note))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates(&read_file(path)?).map_err(|what| format!("{}: {what}", path.display()))
}

/// All certificates of a PEM file, of which there must be one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut all = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("is no PEM: {error}"))?;
        if all.len() == MAX_CERTIFICATES {
            return Err("has too many certificates".to_owned());
        }
        X509Certificate::from_der(&certificate)
            .map_err(|error| format!("has a certificate that cannot be read: {error}"))?;
        all.push(certificate);
    }
    match all.is_empty() {
        true => Err("has no certificate in PEM".to_owned()),
        false => Ok(all),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read_file(path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| format!("{}: has no private key in PEM: {error}", path.display()))
}

/// Whether the key is that of the first certificate.
fn check_pair(chain: &[CertificateDer<'_>], key: &PrivateKeyDer<'_>) -> Result<(), String> {
    let key =
        any_supported_type(key).map_err(|error| format!("the key cannot be used: {error}"))?;
    let Some(public) = key.public_key() else {
        return Ok(());
    };
    let leaf = chain.first().map(|leaf| X509Certificate::from_der(leaf));
    match leaf {
        Some(Ok((_, leaf))) if leaf.public_key().raw == public.as_ref() => Ok(()),
        _ => Err("the certificate is not for our key".to_owned()),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(|error| named(path, &error))?;
    Ok(bytes)
}

fn named(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Of this machine.
pub(crate) fn hostname() -> String {
    match collect::uname().nodename {
        name if name.is_empty() => "unknown".to_owned(),
        name => name,
    }
}
