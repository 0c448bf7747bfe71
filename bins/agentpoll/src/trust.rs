//! TLS towards agents: whom we believe, and who we are.
//!
//! Agents are of many makes. Those whose certificate was signed by
//! openITCOCKPIT's server may show one of X.509 version 1, which no verifier of
//! a web client takes; so the chain, which has two links, is looked at here. The
//! proof that the agent has the key is asked of everybody.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use authority::agent::agent_uri;
use authority::{Certificate, RevocationList};
use objects::UnixTime;
use rustls::client::ResolvesClientCert;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer};

/// Which certificates of agents are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belief {
    /// Those that our authority signed for this host.
    Host,
    /// Those that the authority signed, for whomever: agents that got theirs
    /// from another server.
    Authority,
    /// Every one: what openITCOCKPIT's server does.
    Anyone,
}

/// Those who may sign for agents, and what they no longer stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authorities {
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) revoked: Option<RevocationList>,
}

/// What we show to agents that ask for a certificate.
pub(crate) type Own = Arc<dyn ResolvesClientCert>;

/// All that a connection with TLS needs.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(crate) belief: Belief,
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) own: Option<Own>,
}

impl Trust {
    /// For the agent of one host.
    pub(crate) fn client_config(&self, host_name: &str) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = AgentVerifier {
            belief: self.belief,
            authorities: Arc::clone(&self.authorities),
            uri: agent_uri(host_name),
            provider: Arc::clone(&provider),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous() // rustls' word for any verifier that is not its own
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.own {
            Some(own) => builder.with_client_cert_resolver(Arc::clone(own)),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Makes a pair of certificate chain and key ready to be shown.
pub(crate) fn own(chain: &str, key: &str) -> Result<Own, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let chain = chain.map_err(|error| format!("the certificate is not PEM: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("there is no private key: {error}"))?;
    let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| format!("certificate and key cannot be used: {error}"))?;
    Ok(Arc::new(SingleCertAndKey::from(pair)))
}

impl Authorities {
    /// Reads certificates, and the list beside them of what was revoked if
    /// there is one.
    pub(crate) fn read(certificates: &Path, revoked: Option<&Path>) -> Result<Self, String> {
        let named = |path: &Path, what: String| format!("{}: {what}", path.display());
        let text = authority::directory::read(certificates)
            .map_err(|error| program::exit::chain(&error))?;
        let certificates = Certificate::all_in(&text).map_err(|what| named(certificates, what))?;
        let revoked = match revoked.filter(|path| path.exists()) {
            None => None,
            Some(path) => {
                let text = authority::directory::read(path)
                    .map_err(|error| program::exit::chain(&error))?;
                Some(RevocationList::from_pem(&text).map_err(|what| named(path, what))?)
            }
        };
        Ok(Self {
            certificates,
            revoked,
        })
    }

    /// Looks at the certificate of an agent.
    fn check(&self, shown: &Certificate, now: UnixTime) -> Result<(), CertificateError> {
        if !self.certificates.iter().any(|ca| shown.is_signed_by(ca)) {
            return Err(CertificateError::UnknownIssuer);
        }
        if now < shown.not_before {
            return Err(CertificateError::NotValidYet);
        }
        if now > shown.not_after {
            return Err(CertificateError::Expired);
        }
        let revoked = self.revoked.as_ref();
        if revoked.is_some_and(|list| list.revoked.contains_key(&shown.serial)) {
            return Err(CertificateError::Revoked);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct AgentVerifier {
    belief: Belief,
    authorities: Arc<Authorities>,
    /// The name that the certificate of this host has.
    uri: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AgentVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: rustls_pki_types::UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.belief == Belief::Anyone {
            return Ok(ServerCertVerified::assertion());
        }
        let shown = parse(end_entity)?;
        let secs = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.authorities.check(&shown, UnixTime::from_secs(secs))?;
        if self.belief == Belief::Host && !shown.uris.contains(&self.uri) {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let shown = parse(cert)?;
        let bad = || TlsError::InvalidCertificate(CertificateError::BadSignature);
        let (algorithm, key) = shown.key_parts().ok_or_else(bad)?;
        let known = self.provider.signature_verification_algorithms.mapping;
        let candidates = known.iter().find(|(scheme, _)| *scheme == dss.scheme);
        let (_, candidates) = candidates.ok_or_else(bad)?;
        let is_good = candidates
            .iter()
            .filter(|candidate| candidate.public_key_alg_id().as_ref() == algorithm)
            .any(|candidate| {
                candidate
                    .verify_signature(&key, message, dss.signature())
                    .is_ok()
            });
        match is_good {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(bad()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let shown = parse(cert)?;
        let key = SubjectPublicKeyInfoDer::from(shown.public_key());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn parse(der: &CertificateDer<'_>) -> Result<Certificate, TlsError> {
    let bad = |_| TlsError::InvalidCertificate(CertificateError::BadEncoding);
    Certificate::parse(der).map_err(bad)
}

impl fmt::Display for Belief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Authority => "authority",
            Self::Anyone => "anyone",
        })
    }
}

impl std::str::FromStr for Belief {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "host" => Ok(Self::Host),
            "authority" => Ok(Self::Authority),
            "anyone" => Ok(Self::Anyone),
            _ => Err("it is host, authority or anyone"),
        }
    }
}
