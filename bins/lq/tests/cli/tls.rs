//! Asking over TLS.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::server::{failed, lq, ok, said, serve};

/// A CA in a directory, and what it issues.
struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let directory = tempfile::tempdir().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { directory, issuer }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Files `SITE.crt` and `SITE.key`.
    fn issue(&self, site: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let uri = format!("sitewire:site:{site}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{site}.crt")), certificate.pem()).unwrap();
        let key_file = self.file(&format!("{site}.key"));
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(key_file, mode).unwrap();
    }

    /// Answers one query as the site `central`. Wants to know who asks.
    fn serve(&self) -> (u16, JoinHandle<String>) {
        let provider = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.file("ca")).unwrap())
            .unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let chain = vec![CertificateDer::from_pem_file(self.file("central.crt")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.file("central.key")).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let mut session = ServerConnection::new(Arc::new(config)).unwrap();
            let mut socket = socket;
            while session.is_handshaking() {
                if session.complete_io(&mut socket).is_err() {
                    // Why, must not be lost over what was sent meanwhile.
                    let _ = std::io::copy(&mut socket, &mut std::io::sink());
                    return "no handshake".to_owned();
                }
            }
            serve(StreamOwned::new(session, socket), b"200           2\na\n")
        });
        (port, thread)
    }

    fn lq(&self, port: u16, arguments: &[&str]) -> Output {
        let address = format!("tls:127.0.0.1:{port}");
        let mut command = lq(Path::new(&address));
        command
            .current_dir(self.directory.path())
            .args(arguments)
            .arg("GET hosts");
        command.output().unwrap()
    }
}

const IDENTITY: [&str; 4] = ["--cert", "remote1.crt", "--key", "remote1.key"];

#[test]
fn a_server_is_asked_over_tls() {
    let authority = Authority::new();
    authority.issue("central");
    authority.issue("remote1");
    let (port, server) = authority.serve();
    let arguments = [&["--ca", "ca", "--tls-name", "central"], &IDENTITY[..]].concat();
    assert_eq!(said(&authority.lq(port, &arguments)), ok("a\n"));
    let request = server.join().unwrap();
    assert_eq!(
        request,
        "GET hosts\nResponseHeader: fixed16\nOutputFormat: csv\n\n"
    );

    // Who does not say who he is gets nothing, and trying again is no use.
    let (port, server) = authority.serve();
    let output = authority.lq(port, &arguments[..4]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    assert_eq!(server.join().unwrap(), "no handshake");
}

#[test]
fn a_server_that_is_not_the_right_one_is_asked_nothing() {
    let authority = Authority::new();
    authority.issue("central");
    authority.issue("remote1");
    let stranger = Authority::new();
    let ca = stranger.file("ca");
    for (ca, name, fault) in [
        ("ca", "remote2", "is for site central, not for remote2"),
        (
            ca.to_str().unwrap(),
            "central",
            "is not signed by the CA that was given",
        ),
    ] {
        let (port, server) = authority.serve();
        let arguments = [&["--ca", ca, "--tls-name", name], &IDENTITY[..]].concat();
        let (status, stdout, stderr) = said(&authority.lq(port, &arguments));
        assert_eq!((status, stdout.as_str()), (1, ""));
        let want = format!(
            "lq: cannot agree on TLS with tls:127.0.0.1:{port}: the server's certificate {fault}\n"
        );
        assert_eq!(stderr, want);
        assert_eq!(server.join().unwrap(), "no handshake");
    }
}

#[test]
fn nobody_is_believed_without_a_ca() {
    let authority = Authority::new();
    assert_eq!(
        said(&authority.lq(1, &[])),
        failed(
            2,
            "lq: tls:127.0.0.1:1 needs --ca: the file of the CA that vouches for the server\n"
        )
    );
    assert_eq!(authority.lq(1, &["--cert", "x"]).status.code(), Some(2));
    let (status, _, stderr) = said(&authority.lq(1, &["--ca", "missing"]));
    assert_eq!(status, 1);
    assert!(stderr.starts_with("lq: missing: No such file"), "{stderr}");
    assert_eq!(authority.lq(1, &["--ca", "ca"]).status.code(), Some(75));
}
