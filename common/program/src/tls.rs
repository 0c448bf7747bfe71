//! TLS for programs that ask or deliver, without a runtime: a client that
//! blocks, or that is told by poll(2) when to go on.
//!
//! The server must have a certificate from the CA in a file, for the name that
//! is expected: a host name, an address, or a site. A site is named by the URI
//! `sitewire:site:ID`, as `sitecert` writes it. The roots of the system are
//! not believed: they would vouch for anybody.

mod fault;

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, IoState, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
pub use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustls_pki_types::{ServerName, UnixTime};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{Address, Failure, Status};
use fault::Asked;
pub use fault::Fault;

/// Longest file of certificates or keys, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// What the URI of a site begins with.
const SITE_URI: &str = "sitewire:site:";
/// Told to the server where the expected name is not that of a host.
const NO_NAME: &str = "site.invalid";
/// Of a server that says nothing while TLS is agreed on.
const NO_ANSWER: &str = "the server does not answer";
/// Of a server that goes away while TLS is agreed on.
const CLOSED_EARLY: &str =
    "the server closed the connection before TLS was agreed on: does it speak TLS?";

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be used.
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The server cannot be reached, or went away.
    Io(io::Error),
    /// The two ends did not agree, or the server is not whom it should be.
    Tls(Fault),
}

impl Error {
    /// Whether trying again later may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Io(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadFile { path, what } => write!(f, "{}: {what}", path.display()),
            Self::Io(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let fault = error
            .get_ref()
            .and_then(|cause| cause.downcast_ref::<Fault>());
        match fault {
            Some(fault) => Self::Tls(fault.clone()),
            None => Self::Io(error),
        }
    }
}

/// Where the parts lie, all PEM.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The certificates of those who may sign for the server.
    pub ca: &'a Path,
    /// Our certificate and its private key, if the server wants to know who asks.
    pub identity: Option<(&'a Path, &'a Path)>,
}

/// What a program was told about addresses of the form `tls:HOST:PORT`.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// `--ca`: the certificates of those who may sign for the peer.
    pub ca: Option<&'a Path>,
    /// `--cert`: ours.
    pub certificate: Option<&'a Path>,
    /// `--key`: the private key of our certificate.
    pub key: Option<&'a Path>,
    /// `--tls-name`: whom the peer's certificate is for, if not the host.
    pub name: Option<&'a str>,
    /// What messages call the peer.
    pub peer: &'a str,
}

/// Whom we believe, and who we are.
#[derive(Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    asked: Asked,
    expected: String,
}

impl Client {
    /// Who connects to `address`; none if no TLS is spoken there.
    pub fn of(address: &Address, options: Options<'_>) -> Result<Option<Self>, Failure> {
        let Address::Tls { host, .. } = address else {
            return Ok(None);
        };
        let Some(ca) = options.ca else {
            let what = format!(
                "{address} needs --ca: the file of the CA that vouches for the {}",
                options.peer
            );
            return Err(Failure::new(Status::Usage, what));
        };
        let files = Files {
            ca,
            identity: options.certificate.zip(options.key),
        };
        Self::load(files, options.name.unwrap_or(host))
            .map(Some)
            .map_err(|error| Failure::new(Status::Failed, error.to_string()))
    }

    /// Reads and checks the files. The server's certificate must be for
    /// `expected`: the name or address of a host, or the id of a site.
    pub fn load(files: Files<'_>, expected: impl Into<String>) -> Result<Self, Error> {
        let expected = expected.into();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier {
            expected: expected.clone(),
            roots: read_roots(files.ca)?,
            provider: Arc::clone(&provider),
        };
        let asked = Asked::default();
        let own_fault = |error| Error::Tls(Fault::new(error, &asked));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(own_fault)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match files.identity {
            None => builder.with_client_cert_resolver(Arc::new(asked.clone())),
            Some((certificate, key)) => builder
                .with_client_auth_cert(read_certificates(certificate)?, read_key(key)?)
                .map_err(|error| {
                    bad_file(key, format!("not the key of the certificate: {error}"))
                })?,
        };
        Ok(Self {
            config: Arc::new(config),
            asked,
            expected,
        })
    }

    /// Connects and agrees on TLS; gives up after `timeout`, if there is one,
    /// of silence. The socket keeps it as its limit, and blocks.
    pub fn connect(
        &self,
        host: &str,
        port: u16,
        timeout: Option<Duration>,
    ) -> Result<Stream, Error> {
        let socket = crate::address::connect_tcp(host, port, timeout)?;
        for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            sockopt::set_socket_timeout(&socket, direction, timeout).map_err(io::Error::from)?;
        }
        self.agree(socket)
    }

    fn agree(&self, socket: OwnedFd) -> Result<Stream, Error> {
        let own_fault = |error| Error::Tls(Fault::new(error, &self.asked));
        let name = ServerName::try_from(self.expected.clone());
        let name = name.or_else(|_| ServerName::try_from(NO_NAME.to_owned()));
        let name = name.map_err(|error| own_fault(rustls::Error::General(error.to_string())))?;
        let session = ClientConnection::new(Arc::clone(&self.config), name).map_err(own_fault)?;
        let mut stream = Stream {
            session,
            socket: socket.into(),
            asked: self.asked.clone(),
            fault: None,
        };
        stream.agree().map_err(|error| match error.kind() {
            // What a limit of a socket shows as.
            ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, NO_ANSWER),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                io::Error::new(error.kind(), CLOSED_EARLY)
            }
            _ => error,
        })?;
        Ok(stream)
    }
}

/// A connection whose handshake is done. Reading and writing block unless the
/// socket does not.
///
/// An end without the server's word is [`io::ErrorKind::UnexpectedEof`]: what
/// came may have been cut off by somebody else.
#[derive(Debug)]
pub struct Stream {
    session: ClientConnection,
    socket: File,
    asked: Asked,
    /// What ended the session. It must not be asked to go on after that.
    fault: Option<Fault>,
}

impl Stream {
    fn agree(&mut self) -> io::Result<()> {
        while self.session.is_handshaking() {
            self.send_waiting()?;
            if self.session.is_handshaking() && self.receive()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        self.send_waiting()
    }

    /// Reads from the socket once; 0 is the end.
    fn receive(&mut self) -> io::Result<usize> {
        // Before it is read there may be something that was read ahead.
        self.process()?;
        let length = self.session.read_tls(&mut self.socket)?;
        self.process()?;
        Ok(length)
    }

    /// Deals with what has been read.
    fn process(&mut self) -> io::Result<IoState> {
        let fault = match self.fault.take() {
            Some(fault) => fault,
            None => match self.session.process_new_packets() {
                Ok(state) => return Ok(state),
                Err(error) => {
                    // The server is told why, if it still listens.
                    while self.session.wants_write() {
                        if self.session.write_tls(&mut self.socket).is_err() {
                            break;
                        }
                    }
                    Fault::new(error, &self.asked)
                }
            },
        };
        self.fault = Some(fault.clone());
        Err(io::Error::new(ErrorKind::InvalidData, fault))
    }

    /// Tells the server that nothing more will come. It may go on sending.
    pub fn finish(&mut self) -> io::Result<()> {
        self.session.send_close_notify();
        self.flush()
    }

    /// Whether reading would give something although the socket has nothing.
    pub fn has_pending(&mut self) -> bool {
        match self.process() {
            Ok(state) => state.plaintext_bytes_to_read() > 0 || state.peer_has_closed(),
            // Reading tells the error.
            Err(_) => true,
        }
    }

    /// Whether there is something that the socket has not taken yet.
    pub fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// Sends what is waiting, as far as the socket takes it.
    pub fn send_waiting(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if let Err(error) = self.session.write_tls(&mut self.socket) {
                // Who does not take any more has perhaps said why.
                let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                return match self.receive_fault() {
                    Some(fault) if gone.contains(&error.kind()) => Err(fault),
                    _ => Err(error),
                };
            }
        }
        Ok(())
    }

    /// What is wrong with what has come, if it can be told without waiting.
    fn receive_fault(&mut self) -> Option<io::Error> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let ready = rustix::event::poll(&mut fds, Some(&Timespec::default()));
        if !matches!(ready, Ok(1..)) {
            return None;
        }
        self.receive()
            .err()
            .filter(|error| error.kind() == ErrorKind::InvalidData)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if let Err(fault) = self.receive() {
                // What came before the fault is good.
                let good = self.session.reader().read(buffer).unwrap_or(0);
                return if good > 0 { Ok(good) } else { Err(fault) };
            }
        }
    }
}

impl Write for Stream {
    /// Takes as much as there is room for. What the socket did not take waits
    /// for [`flush`](Self::flush) or [`send_waiting`](Self::send_waiting).
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let count = self.session.writer().write(bytes)?;
            match self.send_waiting() {
                Err(error) if count == 0 || error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(error);
                }
                // What was waiting has gone, so that there is room again.
                Ok(()) if count == 0 && !bytes.is_empty() => {}
                _ => return Ok(count),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_waiting()
    }
}

/// Believes a server if its chain leads to one of the roots and its
/// certificate is for the expected host or site.
#[derive(Debug)]
struct Verifier {
    expected: String,
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        if site_of(end_entity).as_deref() != Some(&*self.expected) {
            verify_server_name(&certificate, name)
                .map_err(|_| fault::wrong_name(end_entity, &self.expected))?;
        }
        Ok(ServerCertVerified::assertion())
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

/// The one site that a certificate names, if it names one.
pub fn site_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut sites = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(SITE_URI),
            _ => None,
        });
    let site = sites.next()?;
    sites.next().is_none().then(|| site.to_owned())
}

/// The public key in a certificate, as its algorithm has it.
pub fn public_key_of(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

/// Authorities that may sign for sites, for those who check a certificate
/// without a connection.
#[derive(Debug)]
pub struct Roots {
    store: RootCertStore,
    provider: CryptoProvider,
}

impl Roots {
    /// Takes those of the certificates that are authorities: what others have
    /// signed is not believed.
    pub fn new(certificates: &[CertificateDer<'static>]) -> Self {
        let mut store = RootCertStore::empty();
        let is_ca = |certificate: &&CertificateDer<'_>| {
            X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.is_ca())
        };
        store.add_parsable_certificates(certificates.iter().filter(is_ca).cloned());
        Self {
            store,
            provider: aws_lc_rs::default_provider(),
        }
    }

    /// Whether one of them has signed for this certificate, and it is valid now.
    /// The error says why not.
    pub fn vouch_for(&self, certificate: &CertificateDer<'_>) -> Result<(), String> {
        let parsed = ParsedCertificate::try_from(certificate).map_err(|e| e.to_string())?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.store,
            &[],
            UnixTime::now(),
            self.provider.signature_verification_algorithms.all,
        )
        .map_err(|error| error.to_string())
    }
}

/// Whether a certificate is valid now. The error says why not.
pub fn check_validity(certificate: &[u8]) -> Result<(), String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now > validity.not_after.timestamp() {
        return Err("the certificate has expired".to_owned());
    }
    if now < validity.not_before.timestamp() {
        return Err("the certificate is not valid yet".to_owned());
    }
    Ok(())
}

fn read_roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| bad_file(path, format!("not usable as a CA: {error}")))?;
    }
    Ok(roots)
}

/// Reads a file that has at least one certificate, in PEM.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let (bytes, _) = read_file(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(bad_file(path, "has no certificate".to_owned()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad_file(path, format!("not PEM: {error}"))),
    }
}

/// Reads a private key, in PEM, that nobody else can read.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let (bytes, mode) = read_file(path)?;
    if mode & 0o077 != 0 {
        let what = format!("others than its owner may read it (mode {mode:04o}); chmod 600 it");
        return Err(bad_file(path, what));
    }
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| bad_file(path, format!("has no private key: {error}")))
}

/// The file's bytes and its permissions.
fn read_file(path: &Path) -> Result<(Vec<u8>, u32), Error> {
    let read = || {
        let file = File::open(path)?;
        let mode = file.metadata()?.mode() & 0o7777;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok((bytes, mode))
    };
    let (bytes, mode) = read().map_err(|error: io::Error| bad_file(path, error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(bad_file(path, format!("longer than {MAX_FILE} bytes")));
    }
    Ok((bytes, mode))
}

fn bad_file(path: &Path, what: String) -> Error {
    Error::BadFile {
        path: path.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::PermissionsExt;
    use std::thread::JoinHandle;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    /// A directory that is removed again.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("sitewire-tls-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        pem: String,
    }

    impl Authority {
        fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let pem = params.self_signed(&key).unwrap().pem();
            let issuer = Issuer::new(params, key);
            Self { issuer, pem }
        }

        /// Certificate and key for these names.
        fn issue(&self, names: &[SanType]) -> (String, String) {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.subject_alt_names = names.to_vec();
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            (certificate.pem(), key.serialize_pem())
        }
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn uri(uri: &str) -> SanType {
        SanType::URI(uri.try_into().unwrap())
    }

    type ServerStream = StreamOwned<ServerConnection, TcpStream>;

    /// Serves one connection, and tells how the handshake went.
    fn serve(
        (certificate, key): (String, String),
        clients: Option<&Authority>,
        talk: impl FnOnce(ServerStream) + Send + 'static,
    ) -> (u16, JoinHandle<()>) {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                let ca = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
                roots.add(ca).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let session = ServerConnection::new(config).unwrap();
            talk(StreamOwned::new(session, socket));
        });
        (port, thread)
    }

    /// Says back in capitals what came until the end.
    fn echo(mut stream: ServerStream) {
        let mut text = Vec::new();
        if stream.read_to_end(&mut text).is_ok() {
            text.make_ascii_uppercase();
            stream.write_all(&text).unwrap();
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }

    fn ask(ca: &Path, expected: &str, port: u16) -> Result<String, Error> {
        let files = Files { ca, identity: None };
        let timeout = Some(Duration::from_secs(30));
        let mut stream = Client::load(files, expected)?.connect("127.0.0.1", port, timeout)?;
        stream.write_all(b"question")?;
        stream.finish()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn an_open_connection_has_the_limit_on_silence() {
        let scratch = Scratch::new("limits");
        let authority = Authority::new();
        let ca = scratch.put("ca", &authority.pem);
        let (port, thread) = serve(authority.issue(&[dns("central.example")]), None, echo);
        let address = format!("tls:127.0.0.1:{port}").parse().unwrap();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let limits = crate::connection::Limits {
            connect: seconds(5),
            silence: seconds(60),
        };
        let options = Options {
            ca: Some(&ca),
            certificate: None,
            key: None,
            name: Some("central.example"),
            peer: "server",
        };
        let server = crate::connection::Target::with_tls(address, limits, options).unwrap();
        let mut connection = server.connect().unwrap();
        for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            let limit = sockopt::socket_timeout(&connection, direction).unwrap();
            assert_eq!(limit, seconds(60));
        }
        connection.send(b"question").unwrap();
        connection.finish().unwrap();
        assert_eq!(connection.receive_rest(99).unwrap(), b"QUESTION");
        thread.join().unwrap();
    }

    #[test]
    fn a_server_is_believed_for_its_name_only() {
        let scratch = Scratch::new("names");
        let authority = Authority::new();
        let ca = scratch.put("ca", &authority.pem);
        let address = SanType::IpAddress("127.0.0.1".parse().unwrap());
        for (names, expected, believed) in [
            (&[dns("central.example")][..], "central.example", true),
            (&[dns("other.example")], "central.example", false),
            (&[address], "127.0.0.1", true),
            (&[dns("central.example")], "127.0.0.1", false),
            (&[uri("sitewire:site:central")], "central", true),
            (&[uri("sitewire:site:remote_1")], "remote_1", true),
            (&[uri("sitewire:site:remote1")], "central", false),
            (
                &[uri("sitewire:site:a"), uri("sitewire:site:b")],
                "a",
                false,
            ),
            (&[uri("https://central")], "central", false),
        ] {
            let (port, thread) = serve(authority.issue(names), None, echo);
            match ask(&ca, expected, port) {
                Ok(answer) => assert!(believed && answer == "QUESTION", "{names:?}: {answer}"),
                Err(error) => {
                    assert!(!believed && !error.is_temporary(), "{names:?}: {error}");
                    assert!(matches!(error, Error::Tls(_)), "{names:?}: {error}");
                }
            }
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_stranger_is_not_believed_whatever_its_name() {
        let scratch = Scratch::new("stranger");
        let ca = scratch.put("ca", &Authority::new().pem);
        let pair = Authority::new().issue(&[dns("central.example")]);
        let (port, thread) = serve(pair, None, echo);
        let error = ask(&ca, "central.example", port).unwrap_err();
        assert!(matches!(error, Error::Tls(_)), "{error}");
        thread.join().unwrap();
    }

    #[test]
    fn a_server_can_be_told_who_asks() {
        let scratch = Scratch::new("client");
        let authority = Authority::new();
        let ca = scratch.put("ca", &authority.pem);
        let (certificate, key) = authority.issue(&[uri("sitewire:site:remote1")]);
        let certificate = scratch.put("crt", &certificate);
        let key = scratch.put("key", &key);
        for identity in [Some((certificate.as_path(), key.as_path())), None] {
            let pair = authority.issue(&[dns("localhost")]);
            let (port, thread) = serve(pair, Some(&authority), echo);
            let files = Files { ca: &ca, identity };
            let client = Client::load(files, "localhost").unwrap();
            let mut answer = String::new();
            let result = client.connect("127.0.0.1", port, None).and_then(|mut s| {
                s.write_all(b"x")?;
                s.finish()?;
                Ok(s.read_to_string(&mut answer)?)
            });
            assert_eq!(result.is_ok(), identity.is_some(), "{result:?}");
            thread.join().unwrap();
        }
    }

    #[test]
    fn an_end_without_a_word_may_be_a_cut() {
        let scratch = Scratch::new("cut");
        let authority = Authority::new();
        let ca = scratch.put("ca", &authority.pem);
        let (port, thread) = serve(authority.issue(&[dns("localhost")]), None, |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(b"half an ans").unwrap();
            stream.flush().unwrap();
        });
        let Err(Error::Io(error)) = ask(&ca, "localhost", port) else {
            panic!("it was taken for the whole");
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        thread.join().unwrap();
    }

    #[test]
    fn more_than_the_buffers_hold_passes() {
        let scratch = Scratch::new("much");
        let authority = Authority::new();
        let ca = scratch.put("ca", &authority.pem);
        let (port, thread) = serve(authority.issue(&[dns("localhost")]), None, echo);
        let files = Files {
            ca: &ca,
            identity: None,
        };
        let client = Client::load(files, "localhost").unwrap();
        let mut stream = client.connect("127.0.0.1", port, None).unwrap();
        let much = vec![b'x'; 3 << 20];
        stream.write_all(&much).unwrap();
        stream.finish().unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == much.to_ascii_uppercase());
        thread.join().unwrap();
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let scratch = Scratch::new("files");
        let authority = Authority::new();
        let ca = scratch.put("ca", &authority.pem);
        let (certificate, key) = authority.issue(&[dns("localhost")]);
        let certificate = scratch.put("crt", &certificate);
        let open_key = scratch.put("open", &key);
        std::fs::set_permissions(&open_key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let key = scratch.put("key", &key);
        let other = scratch.put("other", &KeyPair::generate().unwrap().serialize_pem());
        let empty = scratch.put("empty", "");
        let missing = scratch.0.join("missing");
        for (ca, identity, named) in [
            (&missing, None, &missing),
            (&empty, None, &empty),
            (&key, None, &key),
            (&ca, Some((&missing, &key)), &missing),
            (&ca, Some((&certificate, &missing)), &missing),
            (&ca, Some((&certificate, &empty)), &empty),
            (&ca, Some((&certificate, &other)), &other),
            (&ca, Some((&certificate, &open_key)), &open_key),
        ] {
            let identity = identity.map(|(a, b)| (a.as_path(), b.as_path()));
            let result = Client::load(Files { ca, identity }, "localhost");
            let Err(Error::BadFile { path, .. }) = result else {
                panic!("{ca:?} {identity:?}: {result:?}");
            };
            assert_eq!(path, *named);
        }
    }
}
