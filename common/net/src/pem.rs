//! Files of certificates and keys, all PEM.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::error::Error;

/// Longest file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// At least one certificate, the leaf first.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let (bytes, _) = read_file(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(bad_file(path, "has no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad_file(path, &format!("is not PEM: {error}"))),
    }
}

pub(crate) fn read_roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| bad_file(path, &format!("is not usable as a CA: {error}")))?;
    }
    Ok(roots)
}

pub(crate) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let (bytes, mode) = read_file(path)?;
    if mode & 0o077 != 0 {
        let what = format!("others than its owner may read it (mode {mode:04o}); chmod 600 it");
        return Err(bad_file(path, &what));
    }
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| bad_file(path, &format!("has no private key: {error}")))
}

/// At least one list of certificates that were revoked.
pub(crate) fn read_revocations(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let (bytes, _) = read_file(path)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match lists {
        Ok(lists) if lists.is_empty() => Err(bad_file(path, "has no list of revoked certificates")),
        Ok(lists) => Ok(lists),
        Err(error) => Err(bad_file(path, &format!("is not PEM: {error}"))),
    }
}

/// The file's bytes and its permissions.
fn read_file(path: &Path) -> Result<(Vec<u8>, u32), Error> {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        let mode = file.metadata()?.mode() & 0o7777;
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok((bytes, mode))
    };
    let (bytes, mode) = read().map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(bad_file(path, "is longer than 1 MiB"));
    }
    Ok((bytes, mode))
}

pub(crate) fn bad_file(path: &Path, what: &str) -> Error {
    Error::BadFile {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}
