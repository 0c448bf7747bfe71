//! TLS between sites: version 1.3, certificates of both sides.
//!
//! The name of a peer is the URI `sitewire:site:ID` among the alternative
//! names of its certificate, which is from a common authority; host names and IP
//! addresses mean nothing. Or else its key is pinned: then the certificate counts
//! for the key in it only. Nothing is resumed and nothing sent early, so that the
//! certificates are looked at on every connection.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use objects::{SiteId, UnixTime};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, VerifierBuilderError};
use rustls::{ClientConfig, InvalidMessage, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::belief::{Peers, SiteVerifier, Vouchers, client_verifier, words};
use crate::error::Error;
use crate::pem::{bad_file, read_certificates, read_key, read_revocations, read_roots};
use crate::pins::Pins;

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
    /// The certificates of those who may sign for our peers; without them peers
    /// are known by their keys only.
    pub ca: Option<PathBuf>,
    /// Which of the peers' certificates are no longer believed; one list of
    /// each authority.
    pub crl: Option<PathBuf>,
}

/// Who we are towards peers, and whom we believe.
#[derive(Debug)]
pub struct Identity {
    site: Option<SiteId>,
    begins: UnixTime,
    expires: UnixTime,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Identity {
    /// Reads and checks the files. That our certificate has expired is no
    /// error here, see [`Self::expires`]: peers will say so, and the program
    /// goes on without them.
    pub fn load(files: &TlsFiles) -> Result<Self, Error> {
        Self::load_with_pins(files, Pins::default())
    }

    /// As [`Self::load`], and believes those whose key is pinned. Without an
    /// authority our own certificate need not name a site.
    pub fn load_with_pins(files: &TlsFiles, pins: Pins) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = read_certificates(&files.certificate)?;
        let key = read_key(&files.key)?;
        let bad = |what: String| bad_file(&files.certificate, &what);
        let leaf = Leaf::read(&chain[0]).map_err(bad)?;
        let (site, vouchers) = match &files.ca {
            None => (leaf.site.clone().ok(), None),
            Some(ca) => {
                let roots = Arc::new(read_roots(ca)?);
                let site = leaf.site.clone().map_err(bad)?;
                check_own_chain(&chain, &leaf, &roots, &provider)
                    .map_err(|error| bad(format!("not usable with {}: {error}", ca.display())))?;
                let vouchers = load_vouchers(roots, ca, files.crl.as_deref(), &provider)?;
                (Some(site), Some(vouchers))
            }
        };
        let peers = Arc::new(Peers {
            pins,
            vouchers,
            provider,
        });
        let clients = Arc::clone(&peers) as Arc<dyn ClientCertVerifier>;
        let server = server_config(&chain, &key, clients, &peers.provider);
        let server = server.map_err(|error| match error {
            Error::Setup(rustls::Error::InconsistentKeys(_)) => {
                let certificate = files.certificate.display();
                bad_file(&files.key, &format!("is not the key of {certificate}"))
            }
            other => other,
        })?;
        Ok(Self {
            site,
            begins: leaf.not_before,
            expires: leaf.not_after,
            chain,
            key,
            peers,
            server: Arc::new(server),
        })
    }

    /// The site in our certificate, if it names one.
    pub fn site(&self) -> Option<&SiteId> {
        self.site.as_ref()
    }

    /// When our certificate begins to be valid.
    pub fn begins(&self) -> UnixTime {
        self.begins
    }

    /// When our certificate ends to be valid. None if there is no authority: who
    /// knows us by our key does not look at it.
    pub fn expires(&self) -> Option<UnixTime> {
        self.peers.vouchers.as_ref().map(|_| self.expires)
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
        let site = self.who(connection.peer_certificates())?;
        Ok((stream, site))
    }

    /// Which site has shown these certificates, which were believed.
    pub(crate) fn who(&self, certificates: Option<&[CertificateDer<'_>]>) -> Result<SiteId, Error> {
        self.peers.site_of(leaf_of(certificates)?)
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

    /// Whether `site`, which was let in earlier with this, perhaps under other
    /// files, would be believed today.
    pub fn believes(&self, site: &SiteId, shown: &Presented) -> Result<(), Error> {
        let (leaf, intermediates) = (&shown.0[0], &shown.0[1..]);
        let now = rustls_pki_types::UnixTime::now();
        // A site's certificate serves both ends.
        let verified = self.peers.verify_client_cert(leaf, intermediates, now);
        verified.map_err(|error| words(&error))?;
        let found = self.peers.site_of(leaf)?;
        match found == *site {
            true => Ok(()),
            false => Err(Error::WrongSite {
                expected: site.clone(),
                found: format!("site {found}"),
            }),
        }
    }

    fn client_config(&self, expected: &SiteId) -> Result<ClientConfig, Error> {
        let verifier = SiteVerifier {
            expected: expected.clone(),
            peers: Arc::clone(&self.peers),
        };
        let provider = Arc::clone(&self.peers.provider);
        let mut config = ClientConfig::builder_with_provider(provider)
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

/// What the other end of a connection has shown and proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented(pub(crate) Vec<CertificateDer<'static>>);

impl Presented {
    /// What a connection knows of its other end.
    pub fn of(certificates: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        let chain = certificates?.iter();
        let chain: Vec<_> = chain.map(|c| c.clone().into_owned()).collect();
        (!chain.is_empty()).then_some(Self(chain))
    }

    /// Its own certificate, in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.0[0]
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

/// Those who may sign for peers, with what is revoked according to `crl`.
fn load_vouchers(
    roots: Arc<RootCertStore>,
    ca: &Path,
    crl: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Vouchers, Error> {
    let crls = match crl {
        Some(path) => read_revocations(path)?,
        None => Vec::new(),
    };
    let clients = client_verifier(&roots, &crls, provider).build();
    let clients = clients.map_err(|error| {
        let path = match (&error, crl) {
            (VerifierBuilderError::InvalidCrl(_), Some(crl)) => crl,
            _ => ca,
        };
        bad_file(path, &format!("cannot be used: {error}"))
    })?;
    Ok(Vouchers {
        roots,
        crls,
        clients,
    })
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
        _ => words(cause),
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

/// The site in the first of these certificates.
pub(crate) fn peer_site(certificates: Option<&[CertificateDer<'_>]>) -> Result<SiteId, Error> {
    Leaf::read(leaf_of(certificates)?)
        .and_then(|leaf| leaf.site)
        .map_err(Error::NoSite)
}

fn leaf_of<'a, 'b>(
    certificates: Option<&'a [CertificateDer<'b>]>,
) -> Result<&'a CertificateDer<'b>, Error> {
    let leaf = certificates.and_then(<[_]>::first);
    leaf.ok_or_else(|| Error::NoSite("there is none".to_owned()))
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
