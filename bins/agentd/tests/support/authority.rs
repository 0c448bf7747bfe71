//! openITCOCKPIT's side of Auto-TLS, made by the `openssl` command.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tempfile::TempDir;

use super::{Agent, Answer, PATIENCE, Request, exchange};

/// An authority in a directory: `ca.pem`, `ca.key`.
pub(crate) struct Authority(TempDir);

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl")
        .current_dir(dir)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {args:?}: {said}");
}

impl Authority {
    /// With a key of RSA as the server's, though shorter.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        openssl(
            dir.path(),
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-sha512",
                "-days",
                "36500",
                "-subj",
                "/CN=4711.agentserver.oitc",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            ],
        );
        fs::write(
            dir.path().join("v3"),
            "[v3_req]\nbasicConstraints = CA:FALSE\n\
             keyUsage = nonRepudiation, digitalSignature, keyEncipherment\n",
        )
        .unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn ca(&self) -> String {
        fs::read_to_string(self.path("ca.pem")).unwrap()
    }

    pub(crate) fn fingerprint(&self) -> String {
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(self.path("ca.pem"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().rsplit('=').next().unwrap().to_owned()
    }

    /// As the server does it: SHA-512, 3650 days, the section `v3_req`.
    pub(crate) fn sign(&self, csr: &str) -> String {
        self.sign_with(
            csr,
            &["-days", "3650", "-extfile", "v3", "-extensions", "v3_req"],
        )
    }

    pub(crate) fn sign_with(&self, csr: &str, more: &[&str]) -> String {
        fs::write(self.path("csr"), csr).unwrap();
        let args = [
            "x509",
            "-req",
            "-sha512",
            "-in",
            "csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            "signed",
        ];
        openssl(self.0.path(), &[&args[..], more].concat());
        fs::read_to_string(self.path("signed")).unwrap()
    }

    /// The authority itself, as the server shows it to agents.
    pub(crate) fn itself(&self) -> Pair {
        Pair {
            certificate: self.path("ca.pem"),
            key: self.path("ca.key"),
        }
    }

    /// A client that it has signed.
    pub(crate) fn client(&self, name: &str, more: &[&str]) -> Pair {
        let (key, csr) = (format!("{name}.key"), format!("{name}.csr"));
        let subject = format!("/CN={name}");
        openssl(
            self.0.path(),
            &[
                "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key,
                "-out", &csr,
            ],
        );
        let csr = fs::read_to_string(self.path(&csr)).unwrap();
        let certificate = self.path(&format!("{name}.pem"));
        fs::write(&certificate, self.sign_with(&csr, more)).unwrap();
        Pair {
            certificate,
            key: self.path(&key),
        }
    }

    /// What the server posts.
    pub(crate) fn answer(&self, csr: &str) -> String {
        serde_json::json!({"signed": self.sign(csr), "ca": self.ca()}).to_string()
    }

    /// The whole exchange with an agent that speaks HTTP.
    pub(crate) fn enrol(&self, agent: &Agent) {
        let csr = agent.get("/autotls").json()["csr"]
            .as_str()
            .unwrap()
            .to_owned();
        let answer = agent.ask(&Request::post("/autotls", &self.answer(&csr)));
        assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    }
}

/// What the agent says to a client, or what keeps them from talking.
pub(crate) fn ask_tls(
    agent: &Agent,
    pair: Option<&Pair>,
    versions: &[&'static SupportedProtocolVersion],
    request: &Request<'_>,
) -> Result<Answer, String> {
    let stream = connect_tls(agent, pair, versions);
    exchange(stream, request).map_err(|error| error.to_string())
}

pub(crate) fn connect_tls(
    agent: &Agent,
    pair: Option<&Pair>,
    versions: &[&'static SupportedProtocolVersion],
) -> Stream {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            // Not by way of the builder, which refuses certificates of version 1.
            let pem = fs::read(&pair.certificate).unwrap();
            let chain = CertificateDer::pem_slice_iter(&pem)
                .map(Result::unwrap)
                .collect();
            let key = PrivateKeyDer::from_pem_slice(&fs::read(&pair.key).unwrap()).unwrap();
            let key = any_supported_type(&key).unwrap();
            let certified = CertifiedKey::new(chain, key);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("agent.invalid").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", agent.port())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(session, socket)
}

/// As openITCOCKPIT's server, which looks at no certificate of an agent.
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
