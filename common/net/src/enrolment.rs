//! The door for sites that want a certificate, beside the one for links: same
//! port, own protocol. Only there may a client come without a certificate.

use std::path::Path;
use std::sync::Arc;

use objects::SiteId;
use rustls::ServerConfig;
use rustls::server::{Acceptor, ParsedCertificate};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::belief::client_verifier;
use crate::error::Error;
use crate::pem::{bad_file, read_certificates};
use crate::tls::{HANDSHAKE_TIMEOUT, Identity, Presented, check_protocol, in_time, server_config};

/// What is agreed on in TLS with those who want a certificate.
#[derive(Debug)]
pub struct Enrolment {
    protocol: &'static [u8],
    server: Arc<ServerConfig>,
}

/// Somebody who connected and agreed on TLS.
#[derive(Debug)]
pub enum Visitor<S> {
    /// A site, for a link.
    Link(TlsStream<S>, SiteId),
    /// Somebody who wants a certificate, with the one it has already.
    Enrolment(TlsStream<S>, Option<Presented>),
}

impl Enrolment {
    /// For those who agree on `protocol`. They know the authority in the file
    /// `ca` by its fingerprint only, so it is shown to them; it must be the one
    /// that signed our certificate.
    pub fn new(identity: &Identity, protocol: &'static [u8], ca: &Path) -> Result<Self, Error> {
        let Some(vouchers) = &identity.peers.vouchers else {
            return Err(bad_file(ca, "no authority is believed here"));
        };
        let provider = &identity.peers.provider;
        let authority = read_certificates(ca)?.swap_remove(0);
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(authority.clone())
            .map_err(|error| bad_file(ca, &format!("is not usable as a CA: {error}")))?;
        let [leaf, intermediates @ ..] = &identity.chain[..] else {
            return Err(bad_file(ca, "did not sign our certificate: there is none"));
        };
        ParsedCertificate::try_from(leaf)
            .and_then(|leaf| {
                rustls::client::verify_server_cert_signed_by_trust_anchor(
                    &leaf,
                    &roots,
                    intermediates,
                    identity.valid_time(),
                    provider.signature_verification_algorithms.all,
                )
            })
            .map_err(|_| bad_file(ca, "did not sign our certificate: sites could not join"))?;
        let mut chain = identity.chain.clone();
        if !chain.contains(&authority) {
            chain.push(authority);
        }
        let clients = client_verifier(&vouchers.roots, &vouchers.crls, provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| Error::Setup(rustls::Error::General(error.to_string())))?;
        let mut server = server_config(&chain, &identity.key, clients, provider)?;
        server.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self {
            protocol,
            server: Arc::new(server),
        })
    }

    /// Agrees on TLS with whoever connected. Who offers nothing but our
    /// protocol may come without a certificate; everybody else is treated as by
    /// [`Identity::accept`].
    pub async fn accept<S>(&self, identity: &Identity, stream: S) -> Result<Visitor<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let offered = start.client_hello().alpn();
            let enrols = offered.is_some_and(|mut names| names.all(|name| name == self.protocol));
            let config = if enrols {
                &self.server
            } else {
                &identity.server
            };
            let stream = start.into_stream(Arc::clone(config)).await?;
            Ok((stream, enrols))
        };
        let (stream, enrols) = in_time(HANDSHAKE_TIMEOUT, handshake).await?;
        let (_, connection) = stream.get_ref();
        let certificates = connection.peer_certificates();
        if !enrols {
            check_protocol(connection.alpn_protocol(), wire::frame::ALPN)?;
            let site = identity.who(certificates)?;
            return Ok(Visitor::Link(stream, site));
        }
        check_protocol(connection.alpn_protocol(), self.protocol)?;
        let presented = Presented::of(certificates);
        Ok(Visitor::Enrolment(stream, presented))
    }
}
