//! What is spoken at the port: HTTP, HTTPS, or HTTPS with clients that must
//! show a certificate.
//!
//! | there is | mode |
//! |---|---|
//! | `try-autossl`, and all three of its files | `Mutual` |
//! | the same, but they cannot be used, nor what was there before | `Closed` |
//! | else `certfile` and `keyfile` | `Tls` |
//! | else | `Plain` |

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{default_provider, kx_group, sign::any_supported_type};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, version};

use super::autotls::{self, Identity};
use super::verifier::Clients;
use crate::config::{Level, Severity, Tls};

/// How connections are served.
#[derive(Clone)]
pub(crate) enum Mode {
    Plain,
    /// As `Plain`, but only for a new exchange of certificates: what the last
    /// one left cannot be used, and nothing else may be told to strangers.
    Closed,
    Tls(Arc<ServerConfig>),
    Mutual(Arc<ServerConfig>),
}

impl Mode {
    /// What the files say. An error is a certificate of the administrator's
    /// that cannot be used.
    pub(crate) fn of(tls: &Tls) -> Result<Self, String> {
        if tls.auto.enabled {
            recover(tls);
        }
        if autotls::is_done(&tls.auto) {
            return Ok(mutual(tls));
        }
        match &tls.own {
            Some((certificate, key)) => {
                let identity = autotls::read_identity(certificate, key)?;
                configure(tls.level, identity, None).map(Self::Tls)
            }
            None => {
                if tls.auto.enabled {
                    tracing::info!("there are no files of Auto-TLS yet: HTTP is spoken");
                }
                Ok(Self::Plain)
            }
        }
    }

    /// What is wrong with the files, and how bad that is. Changes nothing.
    pub(crate) fn check(tls: &Tls) -> Result<(), (Severity, String)> {
        if autotls::is_done(&tls.auto) {
            return autotls::check(&tls.auto).map_err(|what| (Severity::Error, what));
        }
        match &tls.own {
            Some((certificate, key)) => autotls::read_identity(certificate, key)
                .and_then(|identity| configure(tls.level, identity, None))
                .map(drop)
                .map_err(|what| (Severity::Fatal, what)),
            None => Ok(()),
        }
    }

    pub(super) fn tls(&self) -> Option<&Arc<ServerConfig>> {
        match self {
            Self::Plain | Self::Closed => None,
            Self::Tls(config) | Self::Mutual(config) => Some(config),
        }
    }

    /// In the words of the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain => "HTTP",
            Self::Closed => "HTTP, for an exchange of certificates only",
            Self::Tls(_) => "HTTPS",
            Self::Mutual(_) => "HTTPS with client certificates",
        }
    }
}

fn recover(tls: &Tls) {
    match autotls::recover(&tls.auto) {
        Ok(None) => {}
        Ok(Some(note)) => tracing::warn!("{note}"),
        Err(error) => tracing::error!("cannot clear what is left of an exchange: {error}"),
    }
}

fn mutual(tls: &Tls) -> Mode {
    let loaded = autotls::load(&tls.auto).and_then(|(material, problem)| {
        if let Some(problem) = problem {
            tracing::error!("{problem}; what was there before is used again");
        }
        configure(tls.level, material.identity, Some(material.authorities))
    });
    match loaded {
        Ok(config) => Mode::Mutual(config),
        Err(error) => {
            tracing::error!("Auto-TLS cannot be used until there is a new exchange: {error}");
            Mode::Closed
        }
    }
}

fn configure(
    level: Level,
    identity: Identity,
    authorities: Option<Vec<rustls_pki_types::CertificateDer<'static>>>,
) -> Result<Arc<ServerConfig>, String> {
    let mut provider = default_provider();
    if level != Level::Lax {
        provider.kx_groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    }
    let versions: &[_] = match level {
        Level::Modern => &[&version::TLS13],
        Level::Lax | Level::Intermediate => &[&version::TLS13, &version::TLS12],
    };
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            builder.with_client_cert_verifier(Arc::new(Clients::new(authorities, &provider)))
        }
    };
    // Not by way of the builder, which refuses certificates of version 1.
    let key = any_supported_type(&identity.key).map_err(|error| error.to_string())?;
    let certified = CertifiedKey::new(identity.chain, key);
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Certificates are looked at on every connection.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
