//! Servers that are not believed yet: what they show, and whether it is what
//! a token says.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use authority::message::{self, ALPN, Answer, Granted, MAX_ANSWER, Question};
use authority::{Certificate, Error, Fingerprint, Token};
use objects::SiteId;
use program::{Failure, Status};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    RootCertStore, SignatureScheme, StreamOwned,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// A connection must be there after this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest silence. The centre signs in between.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks the centre of a token. It is known by the token before anything is
/// said that others must not hear.
pub(crate) fn ask(token: &Token, question: &Question) -> Result<Granted, Failure> {
    let whom = Whom::Centre {
        authority: token.authority,
        site: token.centre.clone(),
    };
    let mut server = Server::connect(&token.address, whom, Some(ALPN))?;
    let question = question.encode().map_err(|error| server.broken(&error))?;
    let exchanged = server.exchange(&question);
    let answer = exchanged.map_err(|error| {
        let what = format!("{}: no answer", server.address);
        Failure::caused(Status::TryAgain, what, error)
    })?;
    let answer = answer.and_then(|bytes| Answer::decode(&bytes));
    let granted = answer.and_then(Answer::into_result);
    granted.map_err(|error| server.broken(&error))
}

/// What a server shows of itself, its own certificate first.
pub(crate) fn chain(address: &str) -> Result<Vec<Certificate>, Failure> {
    // Our daemons want their protocol to be named; others do not know any.
    let first = Server::connect(address, Whom::Anybody, Some(b"sitewire-notify/1"));
    let server = match first {
        Ok(server) => server,
        Err(_) => Server::connect(address, Whom::Anybody, None)?,
    };
    let seen = server.verifier.seen();
    let parsed: Result<_, _> = seen.iter().map(|der| Certificate::parse(der)).collect();
    parsed.map_err(|what| {
        let what = format!("{address}: a certificate {what}");
        Failure::new(Status::Failed, what)
    })
}

/// Who a server must be.
#[derive(Debug)]
enum Whom {
    /// Anybody: somebody will look at what it shows.
    Anybody,
    /// The site `site`, by a certificate of this authority.
    Centre {
        authority: Fingerprint,
        site: SiteId,
    },
}

struct Server {
    address: String,
    verifier: Arc<Verifier>,
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Server {
    fn connect(address: &str, whom: Whom, protocol: Option<&[u8]>) -> Result<Self, Failure> {
        let socket = connect_tcp(address).map_err(|error| {
            Failure::caused(
                Status::TryAgain,
                format!("cannot connect to {address}"),
                error,
            )
        })?;
        let verifier = Arc::new(Verifier::new(whom));
        let setup =
            |error: rustls::Error| Failure::caused(Status::Failed, "cannot set up TLS", error);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .dangerous() // rustls' word for any verifier that is not its own
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<_>)
            .with_no_client_auth();
        config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
        config.enable_sni = false;
        let name = ServerName::try_from("site.invalid").expect("a valid name");
        let session = ClientConnection::new(Arc::new(config), name).map_err(setup)?;
        let mut server = Self {
            address: address.to_owned(),
            verifier,
            stream: StreamOwned::new(session, socket),
        };
        match server.agree() {
            // One that wants to know who we are has shown what it is.
            Err(_) if server.verifier.has_seen_anybody() => Ok(server),
            Err(error) => Err(server.not_agreed(&error)),
            Ok(()) => Ok(server),
        }
    }

    fn agree(&mut self) -> io::Result<()> {
        while self.stream.conn.is_handshaking() {
            self.stream.conn.complete_io(&mut self.stream.sock)?;
        }
        Ok(())
    }

    fn not_agreed(&self, error: &io::Error) -> Failure {
        let cause = error
            .get_ref()
            .and_then(|cause| cause.downcast_ref::<rustls::Error>());
        let what = match (self.verifier.complaint(), cause) {
            (Some(complaint), _) => complaint,
            (None, Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol))) => {
                "takes no sites that join: its notifyd.toml has no [authority]".to_owned()
            }
            (None, Some(error)) => format!("TLS failed: {error}"),
            (None, None) => {
                let what = format!("{}: TLS failed", self.address);
                return Failure::new(Status::TryAgain, format!("{what}: {error}"));
            }
        };
        Failure::new(Status::Failed, format!("{}: {what}", self.address))
    }

    fn exchange(&mut self, question: &[u8]) -> io::Result<Result<Vec<u8>, Error>> {
        self.stream.write_all(question)?;
        self.stream.flush()?;
        let mut head = [0; 4];
        self.stream.read_exact(&mut head)?;
        let len = match message::length(head, MAX_ANSWER) {
            Ok(len) => len,
            Err(error) => return Ok(Err(error)),
        };
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes)?;
        Ok(Ok(bytes))
    }

    fn broken(&self, error: &Error) -> Failure {
        let status = match error.is_temporary() {
            true => Status::TryAgain,
            false => Status::Failed,
        };
        Failure::new(status, format!("{}: {error}", self.address))
    }
}

fn connect_tcp(address: &str) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(socket) => {
                socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                socket.set_write_timeout(Some(ANSWER_TIMEOUT))?;
                return Ok(socket);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Looks at what a server shows, and remembers it.
#[derive(Debug)]
struct Verifier {
    whom: Whom,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Vec<CertificateDer<'static>>>,
    complaint: Mutex<Option<String>>,
}

impl Verifier {
    fn new(whom: Whom) -> Self {
        Self {
            whom,
            provider: Arc::new(aws_lc_rs::default_provider()),
            seen: Mutex::default(),
            complaint: Mutex::default(),
        }
    }

    fn seen(&self) -> Vec<CertificateDer<'static>> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn has_seen_anybody(&self) -> bool {
        matches!(self.whom, Whom::Anybody) && !self.seen().is_empty()
    }

    fn complaint(&self) -> Option<String> {
        let complaint = self.complaint.lock();
        complaint.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this is the site, by a certificate of the authority, which must
    /// be shown, too: nothing but its fingerprint is known.
    fn check_centre(
        &self,
        fingerprint: &Fingerprint,
        site: &SiteId,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), String> {
        let authority = others
            .iter()
            .find(|der| Fingerprint::of(der) == *fingerprint);
        let authority = authority.ok_or_else(|| {
            format!("is not the centre of this token: the authority {fingerprint} is not behind it")
        })?;
        let mut roots = RootCertStore::empty();
        roots
            .add(authority.clone().into_owned())
            .map_err(|error| format!("the authority cannot be used: {error}"))?;
        ParsedCertificate::try_from(leaf)
            .and_then(|parsed| {
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    &roots,
                    others,
                    now,
                    self.provider.signature_verification_algorithms.all,
                )
            })
            .map_err(|error| {
                format!("is not the centre of this token: its certificate is not good: {error}")
            })?;
        match Certificate::parse(leaf)?.site() {
            Some(found) if found == *site => Ok(()),
            Some(found) => Err(format!(
                "is not the centre of this token: it is site {found}, not {site}"
            )),
            None => Err("is not the centre of this token: it is no site".to_owned()),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
            chain.map(|der| der.clone().into_owned()).collect();
        let result = match &self.whom {
            Whom::Anybody => Ok(()),
            Whom::Centre { authority, site } => {
                self.check_centre(authority, site, end_entity, intermediates, now)
            }
        };
        result
            .map(|()| ServerCertVerified::assertion())
            .map_err(|complaint| {
                *self
                    .complaint
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(complaint);
                CertificateError::ApplicationVerificationFailure.into()
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
