//! TLS to an exporter on this machine. Whose certificate it is, is not looked at:
//! an exporter makes its own, and there is nobody on the way.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::super::http::{Timed, remaining, words};

/// A connection on which TLS is agreed.
pub(super) struct Encrypted(StreamOwned<ClientConnection, TcpStream>);

/// Why there is none.
pub(super) enum NoTls {
    /// The other side speaks something else.
    Foreign,
    Failed(String),
}

impl Encrypted {
    pub(super) fn agree(mut stream: TcpStream, deadline: Instant) -> Result<Self, NoTls> {
        let mut connection = client().map_err(|error| NoTls::Failed(error.to_string()))?;
        while connection.is_handshaking() {
            remaining(&stream, deadline).map_err(NoTls::Failed)?;
            if connection.wants_write() {
                connection.write_tls(&mut stream)?;
            } else if connection.read_tls(&mut stream)? == 0 {
                return Err(NoTls::Foreign);
            } else if let Err(error) = connection.process_new_packets() {
                return Err(match error {
                    Error::InvalidMessage(_) => NoTls::Foreign,
                    error => NoTls::Failed(format!("no TLS with it: {error}")),
                });
            }
        }
        Ok(Self(StreamOwned::new(connection, stream)))
    }
}

impl From<io::Error> for NoTls {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // What it could not read it has left.
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Foreign,
            _ => Self::Failed(format!("no TLS with it: {}", words(&error))),
        }
    }
}

fn client() -> Result<ClientConnection, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|_| Error::EncryptError)?;
    ClientConnection::new(Arc::new(config), name)
}

impl Read for Encrypted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            // Some end without saying so in TLS.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Timed for Encrypted {
    fn limit(&self, patience: Duration) -> io::Result<()> {
        self.0.sock.limit(patience)
    }
}

/// Takes every certificate.
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
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
