//! One request to openITCOCKPIT's server, and what it answers.

use std::env;
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::config::Push;

/// What the server is used to.
const NAME: &str = concat!(
    "openITCOCKPIT Agent/3.6.1 sitewire/",
    env!("CARGO_PKG_VERSION")
);
/// How much of an answer is read, in bytes.
const MAX_ANSWER: u64 = 256 << 10;
/// A connection that was idle for longer is not used again.
const IDLE: Duration = Duration::from_secs(120);

/// What speaks to the server.
pub(super) struct Client {
    agent: Agent,
    base: String,
    authorization: String,
}

/// What the server has said.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answer {
    #[serde(skip)]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) agentuuid: String,
    #[serde(default)]
    pub(super) password: String,
    #[serde(default)]
    pub(super) received_checks: i64,
    #[serde(default)]
    pub(super) error: Value,
}

impl Answer {
    /// Why not, in the words of the server if there are any.
    pub(super) fn reason(&self) -> String {
        match &self.error {
            Value::String(text) if !text.is_empty() => program::log::quote(text.as_bytes(), 500),
            _ => format!("the server answered with status {}", self.status),
        }
    }
}

impl Client {
    pub(super) fn new(push: &Push) -> Result<Self, String> {
        let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ));
        tls = match push.verify {
            true => tls.root_certs(authorities()),
            false => tls.disable_verification(true),
        };
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .proxy(proxy(push)?)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_age(IDLE)
            .user_agent(NAME);
        Ok(Self {
            agent: Agent::new_with_config(config.build()),
            base: base(&push.url)?,
            authorization: format!("X-OITC-API {}", push.apikey),
        })
    }

    /// Posts JSON, until the deadline.
    pub(super) fn post(
        &self,
        name: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Answer, String> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("there is no time left for it".to_owned());
        }
        let request = self
            .agent
            .post(format!("{}/agentconnector/{name}.json", self.base))
            .header("Content-Type", "application/json")
            .header("Authorization", &self.authorization);
        let request = request.config().timeout_global(Some(left)).build();
        let answer = request
            .send(body)
            .map_err(|error| program::exit::chain(&error))?;
        let status = answer.status().as_u16();
        if let Some(location) = answer.headers().get("location")
            && (300..400).contains(&status)
        {
            let location = program::log::quote(location.as_bytes(), 200);
            return Err(format!(
                "the server says it is somewhere else: `url` should lead to {location}"
            ));
        }
        let mut text = Vec::new();
        answer
            .into_body()
            .into_reader()
            .take(MAX_ANSWER)
            .read_to_end(&mut text)
            .map_err(|error| format!("cannot read the answer: {error}"))?;
        understand(status, &text)
    }
}

fn understand(status: u16, text: &[u8]) -> Result<Answer, String> {
    let answer = match text.is_empty() {
        true => Answer::default(),
        false => serde_json::from_slice(text).map_err(|_| {
            format!("what the server answered with status {status} is not what it should be")
        })?,
    };
    Ok(Answer { status, ..answer })
}

/// The URL without empty parts in its path, and without an end that means nothing.
fn base(url: &str) -> Result<String, String> {
    let refused = || format!("`url = {url}` is no URL");
    let (scheme, rest) = url.trim().split_once("://").ok_or_else(refused)?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let mut parts = rest.split('/').filter(|part| !part.is_empty());
    let host = parts.next().ok_or_else(refused)?;
    let base = parts.fold(format!("{scheme}://{host}"), |base, part| {
        format!("{base}/{part}")
    });
    base.parse::<ureq::http::Uri>().map_err(|_| refused())?;
    Ok(base)
}

/// The proxy of the configuration, or that of the environment for such a URL.
fn proxy(push: &Push) -> Result<Option<Proxy>, String> {
    if !push.proxy.is_empty() {
        let proxy = Proxy::new(&push.proxy);
        return proxy
            .map(Some)
            .map_err(|_| format!("`proxy = {}` is no URL of a proxy", push.proxy));
    }
    let names = match push.url.starts_with("https:") {
        true => ["HTTPS_PROXY", "https_proxy"],
        false => ["HTTP_PROXY", "http_proxy"],
    };
    let is_set = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty());
    Ok(names
        .into_iter()
        .any(is_set)
        .then(Proxy::try_from_env)
        .flatten())
}

/// Those that the machine believes.
fn authorities() -> RootCerts {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("an authority of the system cannot be read: {error}");
    }
    let all = found.certs.iter();
    all.map(|der| Certificate::from_der(der).to_owned())
        .collect::<Vec<_>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_url_is_kept() {
        for (url, want) in [
            ("https://central", Some("https://central")),
            ("https://central/", Some("https://central")),
            (
                "https://central:8443//oitc//x/?a=b",
                Some("https://central:8443/oitc/x"),
            ),
            ("http://[::1]:80/a", Some("http://[::1]:80/a")),
            ("central", None),
            ("https://", None),
            ("https://a b", None),
        ] {
            assert_eq!(base(url).ok().as_deref(), want, "{url}");
        }
    }

    #[test]
    fn the_reason_is_the_servers_if_it_gives_one() {
        for (text, want) in [
            ("{\"error\": \"no\"}", "no"),
            ("{\"error\": \"a\\nb\"}", "a\\nb"),
            (
                "{\"error\": {\"a\": 1}}",
                "the server answered with status 400",
            ),
            ("", "the server answered with status 400"),
            ("{}", "the server answered with status 400"),
        ] {
            assert_eq!(understand(400, text.as_bytes()).unwrap().reason(), want);
        }
        assert!(understand(200, b"<html>").is_err());
        assert!(understand(200, b"1").is_err());
    }
}
