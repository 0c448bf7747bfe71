//! Certificates, and clients that speak TLS.

// Not every test file needs all of it.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::support::DEADLINE;

/// An authority, and a directory for what it signs.
pub(crate) struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as a client shows it.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.crt"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { directory, issuer }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate for a site, or with another name if `change` says so.
    pub(crate) fn sign(
        &self,
        name: &str,
        serial: u64,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Shown {
        let mut params = site(name);
        params.serial_number = Some(SerialNumber::from(serial));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.keep(name, &certificate.pem(), &key)
    }

    pub(crate) fn of(&self, name: &str) -> Shown {
        self.sign(name, 1000, |_| {})
    }

    /// A certificate that vouches for itself.
    pub(crate) fn self_made(&self, name: &str) -> Shown {
        let key = KeyPair::generate().unwrap();
        let certificate = site(name).self_signed(&key).unwrap();
        self.keep(&format!("self-made-{name}"), &certificate.pem(), &key)
    }

    /// The list of those whose certificates are not to be believed any more.
    pub(crate) fn revoke(&self, serials: &[u64]) -> PathBuf {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.path("revoked.pem");
        let list = params.signed_by(&self.issuer).unwrap();
        std::fs::write(&path, list.pem().unwrap()).unwrap();
        path
    }

    fn keep(&self, name: &str, certificate: &str, key: &KeyPair) -> Shown {
        let shown = Shown {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
        };
        std::fs::write(&shown.certificate, certificate).unwrap();
        std::fs::write(&shown.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&shown.key, PermissionsExt::from_mode(0o600)).unwrap();
        shown
    }

    /// The lines of a `[[listen]]` with a certificate of this authority.
    pub(crate) fn listen(&self, more: &str) -> String {
        let own = self.of("central");
        format!(
            "[[listen]]\naddress = 'tls:127.0.0.1:0'\ncertificate = '{}'\nkey = '{}'\n{more}\n",
            own.certificate.display(),
            own.key.display()
        )
    }

    /// The line that makes clients show a certificate of this authority.
    pub(crate) fn client_ca(&self) -> String {
        format!("client_ca = '{}'\n", self.path("ca.crt").display())
    }
}

fn site(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let uri = format!("sitewire:site:{name}").try_into().unwrap();
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
}

/// Connects as whoever `shown` says, whatever certificate the server has.
pub(crate) fn connect(port: u16, shown: Option<&Shown>) -> std::io::Result<TlsStream> {
    connect_with(port, shown, rustls::ALL_VERSIONS)
}

pub(crate) fn connect_with(
    port: u16,
    shown: Option<&Shown>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => builder
            .with_client_auth_cert(chain(&shown.certificate), key(&shown.key))
            .unwrap(),
    };
    let name = ServerName::try_from("central.invalid").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// The fingerprint, as it were: the certificate that the server showed.
pub(crate) fn certificate_of(stream: &TlsStream) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

/// Sends all of it, says that nothing more comes, and reads to the end. A
/// refusal is an error: in TLS 1.3 it comes only when something is read.
pub(crate) fn ask(port: u16, shown: Option<&Shown>, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(port, shown)?;
    stream.write_all(request)?;
    stream.conn.send_close_notify();
    stream.flush()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

pub(crate) fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    let pem = std::fs::read(path).unwrap();
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .unwrap()
}

fn key(path: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(path).unwrap()
}

/// Believes every server.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
