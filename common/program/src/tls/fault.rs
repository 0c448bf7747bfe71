//! What went wrong between the two ends of TLS, in words that say whose fault
//! it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, OtherError, SignatureScheme};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::SITE_URI;

/// The two ends did not agree, or the server is not whom it should be.
#[derive(Debug, Clone)]
pub struct Fault {
    error: rustls::Error,
    /// The server asked for a certificate, and got none.
    owed_certificate: bool,
}

impl Fault {
    pub(super) fn new(error: rustls::Error, asked: &Asked) -> Self {
        Self {
            error,
            owed_certificate: asked.0.load(Ordering::Relaxed),
        }
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            rustls::Error::InvalidCertificate(error) => certificate(error, f),
            rustls::Error::AlertReceived(alert) => self.alert(*alert, f),
            rustls::Error::InvalidMessage(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. } => {
                f.write_str("what the server sends is not TLS")
            }
            rustls::Error::PeerIncompatible(what) => {
                write!(f, "the server speaks no TLS that we do: {what:?}")
            }
            rustls::Error::PeerMisbehaved(what) => {
                write!(f, "the server breaks the rules of TLS: {what:?}")
            }
            rustls::Error::DecryptError => {
                f.write_str("what the server sent was changed on the way")
            }
            other => other.fmt(f),
        }
    }
}

impl Fault {
    fn alert(&self, alert: AlertDescription, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use AlertDescription::*;
        match alert {
            // With TLS 1.2 a missing certificate is just a failed handshake.
            HandshakeFailure | CertificateRequired | BadCertificate | CertificateUnknown
                if self.owed_certificate =>
            {
                f.write_str("the server demands a certificate, and none was given")
            }
            BadCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateExpired
            | CertificateUnknown
            | UnknownCA
            | AccessDenied
            | CertificateRequired => {
                write!(f, "the server does not accept our certificate: {alert:?}")
            }
            ProtocolVersion | HandshakeFailure | InsufficientSecurity => {
                write!(f, "the server speaks no TLS that we do: {alert:?}")
            }
            _ => write!(f, "the server broke off: {alert:?}"),
        }
    }
}

fn certificate(error: &CertificateError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("the server's certificate ")?;
    match error {
        // The signature is bad where another CA has the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            f.write_str("is not signed by the CA that was given")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            f.write_str("has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            f.write_str("is not valid yet, or our clock is wrong")
        }
        CertificateError::Other(OtherError(error)) => write!(f, "{error}"),
        other => write!(f, "cannot be used: {other:?}"),
    }
}

/// A certificate that is for somebody else.
#[derive(Debug)]
struct WrongName {
    presented: Vec<String>,
    expected: String,
}

impl std::error::Error for WrongName {}

impl fmt::Display for WrongName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            presented,
            expected,
        } = self;
        match presented.as_slice() {
            [] => write!(f, "is for nobody, not for {expected}"),
            names => write!(f, "is for {}, not for {expected}", names.join(", ")),
        }
    }
}

/// Says whom the certificate is for, where that is not who was expected.
pub(super) fn wrong_name(certificate: &[u8], expected: &str) -> rustls::Error {
    let error = WrongName {
        presented: names(certificate),
        expected: expected.to_owned(),
    };
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

/// The first few names in a certificate, for a message.
fn names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names.value.general_names.iter();
    let shown = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(crate::log::quote(name.as_bytes(), 100)),
        GeneralName::URI(uri) => Some(match uri.strip_prefix(SITE_URI) {
            Some(site) => format!("site {}", crate::log::quote(site.as_bytes(), 100)),
            None => crate::log::quote(uri.as_bytes(), 100),
        }),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(bytes) => Some(std::net::Ipv4Addr::from(bytes).to_string()),
            Err(_) => {
                let bytes = <[u8; 16]>::try_from(*bytes).ok()?;
                Some(std::net::Ipv6Addr::from(bytes).to_string())
            }
        },
        _ => None,
    });
    shown.take(4).collect()
}

/// Has no certificate, and remembers whether a server wanted one.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(Arc<AtomicBool>);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
