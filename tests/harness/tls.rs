//! Asking over TLS, as a client that believes every server: what the server
//! believes is what is tested.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::Credentials;

/// A connection.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client, and what it shows.
#[derive(Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    /// One that shows this certificate, or none.
    #[track_caller]
    pub fn new(credentials: Option<&Credentials>) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("they are the default")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        let config = match credentials {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let chain = CertificateDer::pem_file_iter(&shown.certificate)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .expect("a certificate");
                let key = PrivateKeyDer::from_pem_file(&shown.key).expect("a key");
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("they belong together")
            }
        };
        let config = Arc::new(config);
        Self { config }
    }

    /// Offers this protocol (ALPN).
    pub fn speak(&mut self, protocol: &[u8]) {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![protocol.to_vec()];
        self.config = Arc::new(config);
    }

    /// A connection to the server at `port`, agreed on when it is first used.
    pub fn open(&self, port: u16) -> std::io::Result<Stream> {
        let name = ServerName::try_from("site.invalid").expect("a valid name");
        let session =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(std::io::Error::other)?;
        Ok(StreamOwned::new(
            session,
            TcpStream::connect(("127.0.0.1", port))?,
        ))
    }

    /// Asks the server at `port` for `server_name`, sends `request`, says that
    /// nothing more comes if `finish`, and reads to the end. A refusal is an
    /// error, or nothing. Whatever came before an error is in front of it.
    pub fn talk(
        &self,
        port: u16,
        server_name: &str,
        request: &[u8],
        finish: bool,
    ) -> (Vec<u8>, std::io::Result<()>) {
        let mut answer = Vec::new();
        let result = self.exchange(port, server_name, request, finish, &mut answer);
        (answer, result)
    }

    fn exchange(
        &self,
        port: u16,
        server_name: &str,
        request: &[u8],
        finish: bool,
        answer: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let name = ServerName::try_from(server_name.to_owned()).map_err(std::io::Error::other)?;
        let session =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(std::io::Error::other)?;
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&socket, Some(Duration::from_secs(30)))?;
        }
        // TLS writes in small pieces.
        socket.set_nodelay(true)?;
        let mut stream = StreamOwned::new(session, socket);
        // It may be refused, and closed, before all is sent.
        let sent = stream.write_all(request).and_then(|()| {
            if finish {
                stream.conn.send_close_notify();
            }
            stream.flush()
        });
        stream.read_to_end(answer)?;
        sent
    }
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
