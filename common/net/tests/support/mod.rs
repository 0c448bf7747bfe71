//! An authority in a temporary directory, for tests of TLS.
#![allow(dead_code)] // each test file uses its part

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use net::{Address, Identity, Listener, TlsFiles};
use objects::SiteId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

/// An authority, and a directory for what it signs.
pub(crate) struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.crt"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { directory, issuer }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
            ca: Some(self.path("ca.crt")),
            crl: None,
        }
    }

    pub(crate) fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> TlsFiles {
        let mut params = CertificateParams::default();
        let uri = format!("sitewire:site:{name}").try_into().unwrap();
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = self.files(name);
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        chmod(&files.key, 0o600);
        files
    }

    /// A key with a certificate that nobody has signed; it names `uri`, if anything.
    pub(crate) fn self_signed(&self, name: &str, uri: Option<&str>) -> (TlsFiles, [u8; 32]) {
        let mut params = CertificateParams::default();
        let uri = uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names = uri.into_iter().collect();
        // Whoever knows the key does not look at the dates.
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        let key = KeyPair::generate().unwrap();
        let files = TlsFiles {
            ca: None,
            ..self.files(name)
        };
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        chmod(&files.key, 0o600);
        let hash = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            &rcgen::PublicKeyData::subject_public_key_info(&key),
        );
        (files, hash.as_ref().try_into().unwrap())
    }

    /// A list with the certificates of `names`, which are files of this authority.
    pub(crate) fn revoke(&self, names: &[&str]) -> PathBuf {
        use x509_parser::prelude::{FromDer, X509Certificate};
        let revoked_certs = names.iter().map(|name| {
            let der = CertificateDer::from_pem_file(self.files(name).certificate).unwrap();
            let (_, certificate) = X509Certificate::from_der(&der).unwrap();
            RevokedCertParams {
                serial_number: SerialNumber::from_slice(certificate.raw_serial()),
                revocation_time: rcgen::date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }
        });
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(2126, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.path("ca.crl");
        let list = list.signed_by(&self.issuer).unwrap();
        std::fs::write(&path, list.pem().unwrap()).unwrap();
        path
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        Identity::load(&self.sign(name, |_| {})).unwrap()
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) async fn listen() -> (Listener, Address) {
    let listener = "127.0.0.1:0"
        .parse::<Address>()
        .unwrap()
        .listen()
        .await
        .unwrap();
    let address = listener.address().unwrap();
    (listener, address)
}
