//! TLS towards clients that may be anybody's: version 1.2 or 1.3, a certificate
//! of ours, and one of theirs if an authority for them is named.
//!
//! Who a client is stands in its certificate as it does between sites: the URI
//! `sitewire:site:ID`. Nothing is resumed, so that the certificates are looked
//! at on every connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use objects::{SiteId, UnixTime};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
pub use tokio_rustls::server::TlsStream;

use crate::error::Error;
use crate::pem::{bad_file, read_certificates, read_key, read_revocations, read_roots};
use crate::tls::{Leaf, Presented, in_time, peer_site};

/// Where the parts lie, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// Our certificate, with intermediate ones if there are any.
    pub certificate: PathBuf,
    /// The private key of it.
    pub key: PathBuf,
    /// The certificates of those who may sign for clients. With it, nobody is
    /// let in without a certificate.
    pub client_ca: Option<PathBuf>,
    /// Which of the clients' certificates are no longer believed; one list of
    /// each authority.
    pub crl: Option<PathBuf>,
}

/// Who we are towards clients, and whom we believe.
#[derive(Debug)]
pub struct Server {
    config: Arc<ServerConfig>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    expires: UnixTime,
}

/// A client that has shown a certificate.
#[derive(Debug)]
pub struct Client {
    /// Who it is.
    pub id: SiteId,
    presented: Presented,
}

impl Server {
    /// Reads and checks the files. That our certificate has expired is no error,
    /// see [`Self::expires`].
    pub fn load(files: &ServerFiles) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = read_certificates(&files.certificate)?;
        let key = read_key(&files.key)?;
        let leaf = Leaf::read(&chain[0]).map_err(|what| bad_file(&files.certificate, &what))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(Error::Setup)?;
        let clients = match &files.client_ca {
            None => None,
            Some(path) => {
                let roots = Arc::new(read_roots(path)?);
                let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                if let Some(path) = &files.crl {
                    verifier = verifier.with_crls(read_revocations(path)?);
                }
                let verifier = verifier.build();
                let path = files.crl.as_ref().unwrap_or(path);
                Some(
                    verifier
                        .map_err(|error| bad_file(path, &format!("cannot be used: {error}")))?,
                )
            }
        };
        let builder = match &clients {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let certificate = files.certificate.display();
            let what = format!("cannot be used with {certificate}: {error}");
            bad_file(&files.key, &what)
        })?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            config: Arc::new(config),
            clients,
            expires: leaf.not_after,
        })
    }

    /// When our certificate ends to be valid.
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Whether clients must show a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        self.clients.is_some()
    }

    /// Agrees on TLS with whoever connected, within `limit`. Who that is is
    /// known if clients must show a certificate.
    pub async fn accept<S>(
        &self,
        stream: S,
        limit: Duration,
    ) -> Result<(TlsStream<S>, Option<Client>), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepting = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream);
        let stream = in_time(limit, accepting).await?;
        if !self.asks_for_certificates() {
            return Ok((stream, None));
        }
        let (_, connection) = stream.get_ref();
        let certificates = connection.peer_certificates();
        let id = peer_site(certificates)?;
        let presented = Presented::of(certificates);
        Ok((stream, presented.map(|presented| Client { id, presented })))
    }

    /// Whether the certificate of a client that was let in earlier, perhaps
    /// under other files, would be believed today.
    pub fn believes(&self, client: &Client) -> Result<(), Error> {
        let (Some(verifier), Presented(chain)) = (&self.clients, &client.presented) else {
            return Ok(());
        };
        let (leaf, intermediates) = (&chain[0], &chain[1..]);
        let now = rustls_pki_types::UnixTime::now();
        verifier
            .verify_client_cert(leaf, intermediates, now)
            .map(|_| ())
            .map_err(Error::Tls)
    }
}
