//! Whom we believe: sites whose key is pinned, and sites that an authority
//! vouches for.

use std::fmt;
use std::sync::Arc;

use objects::SiteId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientCertVerifierBuilder, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};

use crate::error::Error;
use crate::pins::{Pins, print_key};
use crate::tls::Leaf;

/// Those who vouch for sites, and what they have revoked.
#[derive(Debug)]
pub(crate) struct Vouchers {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) crls: Vec<CertificateRevocationListDer<'static>>,
    /// Looks at certificates of clients, and with them at what is revoked.
    pub(crate) clients: Arc<dyn ClientCertVerifier>,
}

/// Whom we believe at the other end of a link.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) pins: Pins,
    pub(crate) vouchers: Option<Vouchers>,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl Peers {
    /// Which site has shown this certificate, which was believed.
    pub(crate) fn site_of(&self, leaf: &CertificateDer<'_>) -> Result<SiteId, Error> {
        if let Some(site) = self.pins.site_of(leaf) {
            return Ok(site.clone());
        }
        Leaf::read(leaf)
            .and_then(|leaf| leaf.site)
            .map_err(Error::NoSite)
    }

    /// Believes a key that is pinned for whatever site.
    fn verify_client(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.pins.site_of(leaf).is_some() {
            return Ok(());
        }
        let Some(vouchers) = &self.vouchers else {
            return Err(unpinned(leaf, "is pinned for no site".to_owned()));
        };
        let verified = vouchers
            .clients
            .verify_client_cert(leaf, intermediates, now);
        verified.map_err(|error| match self.pins == Pins::default() {
            true => error,
            false => unpinned(leaf, format!("is pinned for no site, and: {error}")),
        })?;
        match Leaf::read(leaf).and_then(|leaf| leaf.site) {
            Ok(site) if self.pins.names(&site) => Err(not_pinned_for(leaf, &site)),
            _ => Ok(()),
        }
    }

    /// Believes the site `expected`, and no other.
    fn verify_server(
        &self,
        expected: &SiteId,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        match self.pins.site_of(leaf) {
            Some(site) if site == expected => return Ok(()),
            _ if self.pins.names(expected) => return Err(not_pinned_for(leaf, expected)),
            Some(site) => return Err(other_site(expected, format!("site {site}, by its key"))),
            None => {}
        }
        let vouchers = self.vouchers.as_ref();
        let vouchers = vouchers.ok_or(CertificateError::UnknownIssuer)?;
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &vouchers.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        // A site's certificate serves both ends, so that it may be looked at as a
        // client's. Without a list there is nothing more to ask.
        if !vouchers.crls.is_empty() {
            vouchers
                .clients
                .verify_client_cert(leaf, intermediates, now)?;
        }
        let found = match Leaf::read(leaf).and_then(|leaf| leaf.site) {
            Ok(site) if site == *expected => return Ok(()),
            Ok(site) => format!("site {site}"),
            Err(why) => format!("no site: it {why}"),
        };
        Err(other_site(expected, found))
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
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

impl ClientCertVerifier for Peers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        let vouchers = self.vouchers.as_ref();
        vouchers.map_or(&[], |vouchers| vouchers.clients.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify_client(leaf, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

/// Believes the server that is the expected site.
#[derive(Debug)]
pub(crate) struct SiteVerifier {
    pub(crate) expected: SiteId,
    pub(crate) peers: Arc<Peers>,
}

impl ServerCertVerifier for SiteVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.peers
            .verify_server(&self.expected, leaf, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.peers.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.peers.schemes()
    }
}

/// Never asked: only version 1.3 is offered.
fn no_tls12() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not spoken".to_owned())
}

/// What is wrong with a certificate that is fine as such.
#[derive(Debug, Clone)]
enum Objection {
    OtherSite { expected: SiteId, found: String },
    Unpinned { key: String, what: String },
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSite { found, .. } => write!(f, "certificate is for {found}"),
            Self::Unpinned { key, what } => write!(f, "key {key} {what}"),
        }
    }
}

impl std::error::Error for Objection {}

fn object(objection: Objection) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(objection))).into()
}

fn other_site(expected: &SiteId, found: String) -> rustls::Error {
    object(Objection::OtherSite {
        expected: expected.clone(),
        found,
    })
}

fn not_pinned_for(leaf: &CertificateDer<'_>, site: &SiteId) -> rustls::Error {
    unpinned(leaf, format!("is not pinned for site {site}"))
}

fn unpinned(leaf: &CertificateDer<'_>, what: String) -> rustls::Error {
    let key = print_key(leaf);
    object(Objection::Unpinned { key, what })
}

/// What TLS says of a failure, in our words where it was our objection.
pub(crate) fn words(error: &rustls::Error) -> Error {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = error
    else {
        return Error::Tls(error.clone());
    };
    match other.downcast_ref::<Objection>().cloned() {
        Some(Objection::OtherSite { expected, found }) => Error::WrongSite { expected, found },
        Some(Objection::Unpinned { key, what }) => Error::WrongKey { key, what },
        None => Error::Tls(error.clone()),
    }
}
