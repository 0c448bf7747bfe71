//! One HTTP request at a time: what is asked, how it was answered. A redirect is
//! an answer as any other, and never followed; servers must prove who they are.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ureq::http::{Request, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use crate::delivery::Verdict;
use crate::left_alone;

/// How much of an answer is read.
const KEPT: u64 = 4096;
/// A connection that was idle for longer is not used again.
const IDLE: Duration = Duration::from_secs(5);

/// How a server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Who may vouch for the server; the machine's own authorities if none.
    pub(crate) ca: Option<PathBuf>,
    /// `http://[USER:PASSWORD@]HOST:PORT`
    pub(crate) proxy: Option<String>,
    /// From the name to the last byte.
    pub(crate) timeout: Duration,
}

/// What speaks to servers, and keeps a connection for a while.
pub(crate) struct Client {
    settings: Settings,
    agent: Option<Agent>,
}

/// What is asked of a server.
pub(crate) struct Question<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: Vec<u8>,
}

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// Where a redirect would go.
    pub(crate) location: Option<String>,
    /// The beginning of the body.
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
pub(crate) struct Trouble {
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            agent: None,
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, question: Question<'_>) -> Result<Answer, Trouble> {
        let mut request = Request::builder().method(question.method).uri(question.url);
        for (name, value) in question.headers {
            request = request.header(name, value);
        }
        // What comes of a template may be no request at all.
        let request = request.body(question.body).map_err(|error| Trouble {
            verdict: Verdict::Permanent,
            text: program::exit::chain(&error),
        })?;
        let agent = match self.agent.take() {
            Some(agent) => agent,
            None => self.settings.agent().map_err(Trouble::temporary)?,
        };
        let answer = agent.run(request).map_err(Trouble::of)?;
        // After trouble everything is read anew, certificates as well.
        self.agent = Some(agent);
        let get = |name| {
            let value = answer.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let retry_after = get(header::RETRY_AFTER)
            .and_then(|value| left_alone::said_by_server(&value, SystemTime::now()));
        let (status, location) = (answer.status().as_u16(), get(header::LOCATION));
        let mut body = Vec::new();
        // The status says it all; what else it says is for people.
        let _ = answer
            .into_body()
            .into_reader()
            .take(KEPT)
            .read_to_end(&mut body);
        Ok(Answer {
            status,
            retry_after,
            location,
            body,
        })
    }
}

impl Settings {
    fn agent(&self) -> Result<Agent, String> {
        let proxy = match &self.proxy {
            Some(proxy) => Some(Proxy::new(proxy).map_err(|_| "`proxy` is none".to_owned())?),
            None => None,
        };
        let tls = TlsConfig::builder()
            .root_certs(self.authorities()?)
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ));
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(self.timeout))
            .max_idle_age(IDLE)
            .user_agent(concat!("sitewire/", env!("CARGO_PKG_VERSION")));
        Ok(Agent::new_with_config(config.build()))
    }

    fn authorities(&self) -> Result<RootCerts, String> {
        let Some(path) = &self.ca else {
            let found = rustls_native_certs::load_native_certs();
            let all = found.certs.iter();
            return Ok(all
                .map(|der| Certificate::from_der(der).to_owned())
                .collect::<Vec<_>>()
                .into());
        };
        let named = |what: &str| format!("{}: {what}", path.display());
        let pem = fs::read(path).map_err(|error| named(&error.to_string()))?;
        let mut all = Vec::new();
        for item in parse_pem(&pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => all.push(certificate),
                Ok(_) => {}
                Err(error) => return Err(named(&error.to_string())),
            }
        }
        match all.is_empty() {
            true => Err(named("has no certificate in it")),
            false => Ok(all.into()),
        }
    }
}

impl Trouble {
    fn temporary(text: String) -> Self {
        Self {
            verdict: Verdict::Temporary,
            text,
        }
    }

    fn of(error: ureq::Error) -> Self {
        let verdict = match &error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Verdict::Permanent,
            _ => Verdict::Temporary,
        };
        // That it happened at the network says nothing to anybody.
        let text = match &error {
            ureq::Error::Io(error) => program::exit::chain(error),
            error => program::exit::chain(error),
        };
        Self { verdict, text }
    }
}

/// What a status says of what was sent. That somebody does not believe our secret
/// (401, 407) is healed by another one, so what waits for that is not lost.
pub(crate) fn judge(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        401 | 407 | 408 | 425 | 429 | 500..=599 => Verdict::Temporary,
        _ => Verdict::Permanent,
    }
}

/// Whether nobody can listen in: it is encrypted, or never leaves this machine.
pub(crate) fn is_private(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let is_local = uri
        .host()
        .is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
    uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && is_local)
}

/// Who is asked, without what may be secret in the rest of the address.
pub(crate) fn host(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host);
    host.unwrap_or("an address without a host").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_encrypted_or_stays_here() {
        for (url, want) in [
            ("https://hooks.example.com/x", true),
            ("http://127.0.0.1:8080/x", true),
            ("http://[::1]/x", true),
            ("http://hooks.example.com/x", false),
            ("http://127.0.0.1.example.com/x", false),
            ("http://127.0.0.1@example.com/x", false),
            ("ftp://127.0.0.1/x", false),
            ("/x", false),
        ] {
            assert_eq!(is_private(url), want, "{url}");
        }
        assert_eq!(
            host("https://user:pw@hooks.example.com/secret"),
            "hooks.example.com"
        );
    }
}
