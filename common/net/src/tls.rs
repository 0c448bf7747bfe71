//! TLS between sites: version 1.3, certificates of both sides from one CA, the
//! site's id in the certificate.
//!
//! The name of a peer is the URI `sitewire:site:ID` among the alternative
//! names of its certificate; host names and IP addresses mean nothing. Nothing
//! is resumed and nothing sent early, so that the certificates are looked at
//! on every connection.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use objects::{SiteId, UnixTime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::verify_tls13_signature;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientCertVerifierBuilder, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::error::Error;
use crate::pem::{bad_file, read_certificates, read_key, read_revocations, read_roots};

/// TLS must be agreed after this long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What the URI of a site begins with.
pub const SITE_URI: &str = "sitewire:site:";

/// Where the parts of a site's identity lie, all PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// Our certificate, with intermediate ones if there are any.
    pub certificate: PathBuf,
    /// The private key of it.
    pub key: PathBuf,
    /// The certificates of those who may sign for our peers.
    pub ca: PathBuf,
    /// Which of the peers' certificates are no longer believed; one list of
    /// each authority.
    pub crl: Option<PathBuf>,
}

/// Who we are towards peers, and whom we believe.
#[derive(Debug)]
pub struct Identity {
    site: SiteId,
    begins: UnixTime,
    expires: UnixTime,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) crls: Vec<CertificateRevocationListDer<'static>>,
    /// Who is believed, with what has been revoked.
    peers: Arc<dyn ClientCertVerifier>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Identity {
    /// Reads and checks the files. That our certificate has expired is no
    /// error here, see [`Self::expires`]: peers will say so, and the program
    /// goes on without them.
    pub fn load(files: &TlsFiles) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = read_certificates(&files.certificate)?;
        let key = read_key(&files.key)?;
        let roots = Arc::new(read_roots(&files.ca)?);
        let crls = match &files.crl {
            Some(path) => read_revocations(path)?,
            None => Vec::new(),
        };
        let bad = |what: String| Error::BadFile {
            path: files.certificate.clone(),
            what,
        };
        let leaf = Leaf::read(&chain[0]).map_err(bad)?;
        let site = leaf.site.clone().map_err(bad)?;
        check_own_chain(&chain, &leaf, &roots, &provider)
            .map_err(|error| bad(format!("not usable with {}: {error}", files.ca.display())))?;
        let clients = client_verifier(&roots, &crls, &provider)
            .build()
            .map_err(|error| unusable_authority(files, &error))?;
        let server = server_config(&chain, &key, Arc::clone(&clients), &provider);
        let server = server.map_err(|error| match error {
            Error::Setup(rustls::Error::InconsistentKeys(_)) => Error::BadFile {
                path: files.key.clone(),
                what: format!("is not the key of {}", files.certificate.display()),
            },
            other => other,
        })?;
        Ok(Self {
            site,
            begins: leaf.not_before,
            expires: leaf.not_after,
            chain,
            key,
            roots,
            provider,
            crls,
            peers: clients,
            server: Arc::new(server),
        })
    }

    /// The site in our certificate.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// When our certificate begins to be valid.
    pub fn begins(&self) -> UnixTime {
        self.begins
    }

    /// When our certificate ends to be valid.
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Now, or the nearest moment at which our certificate is valid.
    pub(crate) fn valid_time(&self) -> rustls_pki_types::UnixTime {
        within(self.begins, self.expires)
    }

    /// Agrees on TLS with whoever connected, and tells which site that is.
    pub async fn accept<S>(
        &self,
        stream: S,
    ) -> Result<(tokio_rustls::server::TlsStream<S>, SiteId), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepting = TlsAcceptor::from(Arc::clone(&self.server)).accept(stream);
        let stream = in_time(HANDSHAKE_TIMEOUT, accepting).await?;
        let (_, connection) = stream.get_ref();
        check_protocol(connection.alpn_protocol(), wire::frame::ALPN)?;
        let site = peer_site(connection.peer_certificates())?;
        Ok((stream, site))
    }

    /// Agrees on TLS with the site `expected`, and no other.
    pub async fn connect<S>(
        &self,
        expected: &SiteId,
        stream: S,
    ) -> Result<tokio_rustls::client::TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connect_for(wire::frame::ALPN, expected, stream).await
    }

    /// As [`Self::connect`], to speak `protocol`.
    pub async fn connect_for<S>(
        &self,
        protocol: &[u8],
        expected: &SiteId,
        stream: S,
    ) -> Result<tokio_rustls::client::TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // The name means nothing: the verifier looks at the site in the certificate.
        let name = ServerName::try_from("site.invalid").expect("a valid name");
        let mut config = self.client_config(expected)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = in_time(
            HANDSHAKE_TIMEOUT,
            TlsConnector::from(Arc::new(config)).connect(name, stream),
        )
        .await?;
        let (_, connection) = stream.get_ref();
        check_protocol(connection.alpn_protocol(), protocol)?;
        Ok(stream)
    }

    /// Whether a peer that was let in earlier, perhaps under other files, would
    /// be believed to be `site` today.
    pub fn believes(&self, site: &SiteId, chain: &PeerChain) -> Result<(), Error> {
        let [leaf, intermediates @ ..] = &chain.0[..] else {
            return Err(Error::NoSite("there is none".to_owned()));
        };
        let now = rustls_pki_types::UnixTime::now();
        let verified = self.peers.verify_client_cert(leaf, intermediates, now);
        verified.map_err(Error::Tls)?;
        let found = peer_site(Some(&chain.0))?;
        if found != *site {
            return Err(Error::WrongSite {
                expected: site.clone(),
                found: format!("site {found}"),
            });
        }
        Ok(())
    }

    fn client_config(&self, expected: &SiteId) -> Result<ClientConfig, Error> {
        let verifier = SiteVerifier {
            expected: expected.clone(),
            roots: Arc::clone(&self.roots),
            provider: Arc::clone(&self.provider),
            // Without a list there is nothing more to ask.
            revoked: (!self.crls.is_empty()).then(|| Arc::clone(&self.peers)),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(Error::Setup)?
            .dangerous() // rustls' word for any verifier that is not its own
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(Error::Setup)?;
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(config)
    }
}

/// The certificates that a peer has shown, its own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerChain(Vec<CertificateDer<'static>>);

impl PeerChain {
    /// Of who connected to us.
    pub fn of_client<S>(stream: &tokio_rustls::server::TlsStream<S>) -> Self {
        Self::new(stream.get_ref().1.peer_certificates())
    }

    /// Of whom we connected to.
    pub fn of_server<S>(stream: &tokio_rustls::client::TlsStream<S>) -> Self {
        Self::new(stream.get_ref().1.peer_certificates())
    }

    fn new(certificates: Option<&[CertificateDer<'_>]>) -> Self {
        let certificates = certificates.unwrap_or_default().iter();
        Self(certificates.map(|c| c.clone().into_owned()).collect())
    }
}

/// What a certificate says, as far as we ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The site, or why there is none.
    pub site: Result<SiteId, String>,
    /// From when it is valid.
    pub not_before: UnixTime,
    /// Until when it is valid.
    pub not_after: UnixTime,
}

impl Leaf {
    /// Reads a certificate.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| format!("is not a certificate: {error}"))?;
        let validity = parsed.validity();
        Ok(Self {
            site: site_of(&parsed),
            not_before: UnixTime::from_secs(validity.not_before.timestamp()),
            not_after: UnixTime::from_secs(validity.not_after.timestamp()),
        })
    }
}

/// Exactly one site: with two, each end might believe in another.
fn site_of(certificate: &X509Certificate<'_>) -> Result<SiteId, String> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| format!("its alternative names are unreadable: {error}"))?
        .map_or(&[][..], |extension| &extension.value.general_names);
    let mut sites = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(SITE_URI),
        _ => None,
    });
    match (sites.next(), sites.next()) {
        (Some(site), None) => SiteId::new(site).map_err(|error| error.to_string()),
        (None, _) => Err(format!("has no URI {SITE_URI}ID")),
        (Some(_), Some(_)) => Err("names more than one site".to_owned()),
    }
}

/// Believes clients whose chain leads to one of the roots and has not been
/// revoked.
pub(crate) fn client_verifier(
    roots: &Arc<RootCertStore>,
    crls: &[CertificateRevocationListDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> ClientCertVerifierBuilder {
    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .with_crls(crls.iter().cloned())
}

fn unusable_authority(files: &TlsFiles, error: &VerifierBuilderError) -> Error {
    let path = match (error, &files.crl) {
        (VerifierBuilderError::InvalidCrl(_), Some(crl)) => crl,
        _ => &files.ca,
    };
    bad_file(path, &format!("cannot be used: {error}"))
}

pub(crate) fn server_config(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    clients: Arc<dyn ClientCertVerifier>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::Setup)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(Error::Setup)?;
    config.alpn_protocols = vec![wire::frame::ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Believes a server if the chain leads to one of the roots and the leaf is
/// for the expected site.
#[derive(Debug)]
struct SiteVerifier {
    expected: SiteId,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    /// Knows what has been revoked. A site's certificate serves both ends, so
    /// that it may be looked at as a client's.
    revoked: Option<Arc<dyn ClientCertVerifier>>,
}

/// The server's certificate is fine, but for this instead.
#[derive(Debug)]
struct OtherSite {
    expected: SiteId,
    found: String,
}

impl fmt::Display for OtherSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate is for {}", self.found)
    }
}

impl std::error::Error for OtherSite {}

impl ServerCertVerifier for SiteVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: rustls_pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        if let Some(revoked) = &self.revoked {
            revoked.verify_client_cert(end_entity, intermediates, now)?;
        }
        let found = match Leaf::read(end_entity).and_then(|leaf| leaf.site) {
            Ok(site) if site == self.expected => return Ok(ServerCertVerified::assertion()),
            Ok(site) => format!("site {site}"),
            Err(why) => format!("no site: it {why}"),
        };
        let other = OtherError(Arc::new(OtherSite {
            expected: self.expected.clone(),
            found,
        }));
        Err(CertificateError::Other(other).into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Never asked: only version 1.3 is offered.
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

pub(crate) async fn in_time<T>(
    limit: Duration,
    handshake: impl Future<Output = io::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, handshake).await {
        Ok(result) => result.map_err(classify),
        Err(_) => Err(Error::Timeout("TLS handshake")),
    }
}

/// Finds out what kind of failure a handshake ended with.
fn classify(error: io::Error) -> Error {
    let Some(cause) = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>())
    else {
        return Error::Stream(error);
    };
    match cause {
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => Error::NotTls,
        rustls::Error::NoApplicationProtocol => {
            Error::NoProtocol(String::from_utf8_lossy(wire::frame::ALPN).into_owned())
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            match other.downcast_ref::<OtherSite>() {
                Some(other) => Error::WrongSite {
                    expected: other.expected.clone(),
                    found: other.found.clone(),
                },
                None => Error::Tls(cause.clone()),
            }
        }
        _ => Error::Tls(cause.clone()),
    }
}

pub(crate) fn check_protocol(agreed: Option<&[u8]>, wanted: &[u8]) -> Result<(), Error> {
    if agreed == Some(wanted) {
        return Ok(());
    }
    Err(Error::NoProtocol(
        String::from_utf8_lossy(wanted).into_owned(),
    ))
}

pub(crate) fn peer_site(certificates: Option<&[CertificateDer<'_>]>) -> Result<SiteId, Error> {
    let leaf = certificates.and_then(<[_]>::first);
    let leaf = leaf.ok_or_else(|| Error::NoSite("there is none".to_owned()))?;
    Leaf::read(leaf)
        .and_then(|leaf| leaf.site)
        .map_err(Error::NoSite)
}

/// Our own certificate must be one that peers with the same CA believe, apart
/// from its dates.
fn check_own_chain(
    chain: &[CertificateDer<'_>],
    leaf: &Leaf,
    roots: &RootCertStore,
    provider: &CryptoProvider,
) -> Result<(), rustls::Error> {
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(&chain[0])?,
        roots,
        &chain[1..],
        within(leaf.not_before, leaf.not_after),
        provider.signature_verification_algorithms.all,
    )
}

/// Now, or the nearest moment at which the certificate is valid.
fn within(not_before: UnixTime, not_after: UnixTime) -> rustls_pki_types::UnixTime {
    let now = rustls_pki_types::UnixTime::now().as_secs();
    let bound = |time: UnixTime| u64::try_from(time.secs()).unwrap_or(0);
    let (begin, end) = (bound(not_before), bound(not_after));
    let valid = now.clamp(begin, end.max(begin));
    rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(valid))
}
