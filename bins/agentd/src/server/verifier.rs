//! Which clients are believed after Auto-TLS: openITCOCKPIT's server, which
//! shows the certificate of its authority itself, and whoever that authority has
//! signed.
//!
//! A usual verifier refuses the certificate of an authority as that of a client,
//! and every certificate of X.509 version 1. Here a certificate is believed
//! that is in the file of the authority byte for byte, and one that leads there,
//! of version 1, too. That the client has the key of it is checked for all.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key,
};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use x509_parser::asn1_rs::{Any, BitString, FromDer as _, Sequence};
use x509_parser::prelude::{X509Certificate, X509Version};

/// Believes those that the authority vouches for, and the authority.
#[derive(Debug)]
pub(super) struct Clients {
    /// What is in the file of the authority.
    authorities: Vec<CertificateDer<'static>>,
    /// For certificates of version 3; none if no authority can vouch for any.
    chained: Option<Arc<dyn ClientCertVerifier>>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    pub(super) fn new(
        authorities: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        let hints = roots.subjects();
        let chained =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .ok();
        Self {
            authorities,
            chained,
            hints,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// Believes a certificate of version 1 that one of the authorities signed
    /// itself. There is nothing in it that says what it may be used for.
    fn verify_version_1(
        &self,
        leaf: &X509Certificate<'_>,
        der: &[u8],
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        let signed = Signed::read(der).ok_or(CertificateError::BadEncoding)?;
        let found = self.authorities.iter().any(|authority| {
            let Ok((_, authority)) = X509Certificate::from_der(authority) else {
                return false;
            };
            let may_sign = authority.version() == X509Version::V1 || authority.is_ca();
            may_sign
                && authority.subject().as_raw() == leaf.issuer().as_raw()
                && PublicKey::read(authority.public_key().raw)
                    .is_some_and(|key| key.has_signed(&signed, self.algorithms.all))
        });
        if !found {
            return Err(CertificateError::UnknownIssuer);
        }
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = leaf.validity();
        if now < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet);
        }
        if now > validity.not_after.timestamp() {
            return Err(CertificateError::Expired);
        }
        Ok(())
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.authorities.iter().any(|known| known == leaf) {
            return Ok(ClientCertVerified::assertion());
        }
        let parsed = parse(leaf)?;
        if parsed.version() == X509Version::V1 {
            self.verify_version_1(&parsed, leaf, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        let chained = self.chained.as_ref();
        let chained = chained.ok_or(CertificateError::UnknownIssuer)?;
        chained
            .verify_client_cert(leaf, intermediates, now)
            .map_err(|error| match error {
                // Another authority, shown as our own would be, or one of its
                // certificates: they may have the name of ours.
                Error::InvalidCertificate(
                    CertificateError::Other(_) | CertificateError::BadSignature,
                ) => CertificateError::UnknownIssuer.into(),
                error => error,
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let parsed = parse(certificate)?;
        let key = PublicKey::read(parsed.public_key().raw).ok_or(CertificateError::BadEncoding)?;
        let offered = self.algorithms.mapping.iter();
        let (_, algorithms) = offered
            .into_iter()
            .find(|(scheme, _)| *scheme == signature.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        algorithms
            .iter()
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key.algorithm)
            .any(|algorithm| {
                algorithm
                    .verify_signature(&key.bits, message, signature.signature())
                    .is_ok()
            })
            .then(HandshakeSignatureValid::assertion)
            .ok_or_else(|| CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let parsed = parse(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(CertificateError::BadEncoding),
    }
}

/// The three parts of a certificate: what is signed, how, and the signature.
struct Signed<'a> {
    message: &'a [u8],
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let (_, outer) = Any::from_der(der).ok()?;
        let inside = outer.data;
        let (rest, _) = Any::from_der(inside).ok()?;
        let message = &inside[..inside.len() - rest.len()];
        let (rest, algorithm) = Sequence::from_der(rest).ok()?;
        let (_, signature) = BitString::from_der(rest).ok()?;
        Some(Self {
            message,
            algorithm: algorithm.content.into_owned(),
            signature: signature.data.into_owned(),
        })
    }
}

/// A key as certificates have it.
struct PublicKey {
    algorithm: Vec<u8>,
    bits: Vec<u8>,
}

impl PublicKey {
    fn read(info: &[u8]) -> Option<Self> {
        let (_, outer) = Sequence::from_der(info).ok()?;
        let (rest, algorithm) = Sequence::from_der(&outer.content).ok()?;
        let (_, bits) = BitString::from_der(rest).ok()?;
        Some(Self {
            algorithm: algorithm.content.into_owned(),
            bits: bits.data.into_owned(),
        })
    }

    fn has_signed(
        &self,
        signed: &Signed<'_>,
        algorithms: &[&dyn rustls_pki_types::SignatureVerificationAlgorithm],
    ) -> bool {
        algorithms
            .iter()
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == self.algorithm)
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == signed.algorithm)
            .any(|algorithm| {
                algorithm
                    .verify_signature(&self.bits, signed.message, &signed.signature)
                    .is_ok()
            })
    }
}
