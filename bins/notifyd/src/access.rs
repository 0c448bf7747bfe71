//! Who we are towards other sites, and whom we let in: what the files of
//! `[tls]` and `[authority]` say. They may change while we run.

use std::path::PathBuf;
use std::time::SystemTime;

use authority::message::ALPN;
use net::{Enrolment, Identity, Visitor};
use objects::UnixTime;
use program::exit::chain;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::Configuration;

/// A certificate that ends sooner than this, and has less than a third of its
/// time left, is worth a warning.
const SOON: i64 = 30 * 86_400;

/// The files as they were read.
#[derive(Debug, Default)]
pub(crate) struct Access {
    pub(crate) identity: Option<Identity>,
    /// For sites that want a certificate.
    enrolment: Option<Enrolment>,
    /// Of the files, before they were read.
    pub(crate) stamps: Stamps,
}

/// When which file was changed last.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Stamps(Vec<Option<SystemTime>>);

impl Stamps {
    /// Of the files that the configuration names.
    pub(crate) fn of(configuration: &Configuration) -> Self {
        let changed = |path: &PathBuf| {
            let metadata = std::fs::metadata(path);
            metadata.and_then(|metadata| metadata.modified()).ok()
        };
        let files = configuration.watched_files();
        Self(files.iter().map(changed).collect())
    }
}

impl Access {
    /// Reads the files; on any mistake all mistakes.
    pub(crate) fn load(configuration: &Configuration) -> Result<Self, Vec<String>> {
        let stamps = Stamps::of(configuration);
        let Some(tls) = &configuration.tls else {
            return Ok(Self {
                stamps,
                ..Self::default()
            });
        };
        let identity =
            Identity::load_with_pins(&configuration.tls_files(tls), configuration.pins())
                .map_err(|error| vec![format!("[tls] {}", chain(&error))])?;
        if let Some(site) = identity.site()
            && *site != configuration.site
        {
            return Err(vec![format!(
                "[tls] the certificate is for site {site}, but [site] name is {}",
                configuration.site
            )]);
        }
        let enrolment = configuration
            .authority
            .as_ref()
            .map(|settings| Enrolment::new(&identity, ALPN, &settings.directory.join("ca.crt")));
        let enrolment = enrolment
            .transpose()
            .map_err(|error| vec![format!("[authority] {}", chain(&error))])?;
        Ok(Self {
            identity: Some(identity),
            enrolment,
            stamps,
        })
    }

    /// Agrees on TLS with whoever connected.
    pub(crate) async fn accept<S>(&self, stream: S) -> Result<Visitor<S>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(identity) = &self.identity else {
            return Err("no certificate is configured".to_owned());
        };
        let accepted = match &self.enrolment {
            Some(enrolment) => enrolment.accept(identity, stream).await,
            None => {
                let accepted = identity.accept(stream).await;
                accepted.map(|(stream, site)| Visitor::Link(stream, site))
            }
        };
        accepted.map_err(|error| chain(&error))
    }

    /// What is to be said about the end of our certificate.
    pub(crate) fn warning(&self, now: UnixTime) -> Option<String> {
        let identity = self.identity.as_ref()?;
        let expires = identity.expires()?;
        let left = expires.secs() - now.secs();
        let whole = expires.secs() - identity.begins().secs();
        let days = left / 86_400;
        match left {
            ..0 => Some("our certificate has expired: peers do not believe us".to_owned()),
            _ if left < SOON && left < whole / 3 => {
                Some(format!("our certificate ends in {days} days"))
            }
            _ => None,
        }
    }
}
