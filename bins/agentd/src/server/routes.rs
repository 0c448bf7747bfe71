//! Which request gets which answer.
//!
//! As in the original, an unknown path and a wrong method are answered before
//! anybody is asked who he is, and a wrong password is `403` without a challenge.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::{Method, Request, StatusCode};
use tokio::time::timeout;

use super::answer::{self, Answer};
use super::{Serving, Shared, admission, configuration, exchange};
use crate::collect::Root;
use crate::prometheus;

/// Longest body of a request, in bytes: three files of a megabyte in Base64.
const MAX_BODY: usize = 5 << 20;
/// For the body of a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A path that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Document,
    Prometheus,
    Packages,
    Configuration,
    Exchange,
    Figures,
}

/// A request that may be answered.
pub(super) struct Asked {
    pub(super) shared: Arc<Shared>,
    pub(super) serving: Arc<Serving>,
    pub(super) peer: IpAddr,
    pub(super) request: Request<Incoming>,
}

pub(super) async fn answer(
    shared: Arc<Shared>,
    serving: Arc<Serving>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Answer {
    tracing::debug!("{peer} {} {}", request.method(), request.uri());
    let figures = Arc::clone(&shared.figures);
    let peer = peer.ip().to_canonical();
    let asked = Asked {
        shared,
        serving,
        peer,
        request,
    };
    let answer = asked.answer().await;
    figures.answered(answer.status().as_u16());
    answer
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Document),
            "/prometheus" => Some(Self::Prometheus),
            "/packages" => Some(Self::Packages),
            "/config" => Some(Self::Configuration),
            "/autotls" => Some(Self::Exchange),
            "/metrics" => Some(Self::Figures),
            _ => None,
        }
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Configuration | Self::Exchange => {
                *method == Method::GET || *method == Method::POST
            }
            Self::Document | Self::Prometheus | Self::Packages | Self::Figures => {
                *method == Method::GET
            }
        }
    }
}

impl Asked {
    async fn answer(self) -> Answer {
        let path = self.request.uri().path();
        if let Some(clean) = cleaned(path) {
            return answer::moved(&clean);
        }
        let Some(route) = Route::of(path) else {
            return answer::error(StatusCode::NOT_FOUND, "404 page not found");
        };
        if !route.takes(self.request.method()) {
            return answer::empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let (config, mode) = (&self.serving.config, &self.serving.mode);
        let headers = self.request.headers();
        // A token of the first exchange may stand where the password does.
        let by_token = route == Route::Exchange && admission::wants_token(config, mode);
        if !by_token && !admission::is_known(config.web.auth.as_ref(), headers) {
            tracing::info!("invalid username or password from {}", self.peer);
            return answer::forbidden();
        }
        if route == Route::Exchange {
            if !admission::may_exchange(config, mode, self.peer, headers) {
                tracing::warn!("{} may not exchange certificates", self.peer);
                return answer::forbidden();
            }
        } else if admission::hides(config, mode) {
            return match route {
                Route::Document => answer::json(Bytes::from_static(b"{}")),
                _ => answer::forbidden(),
            };
        }
        self.answer_route(route).await
    }

    async fn answer_route(self, route: Route) -> Answer {
        let board = &self.shared.board;
        let is_post = *self.request.method() == Method::POST;
        match route {
            Route::Document => answer::document(&board.document(), self.request.headers()),
            Route::Packages => answer::json(board.packages().json.clone()),
            Route::Prometheus => self.prometheus(),
            Route::Figures => self.figures(),
            Route::Configuration if !self.serving.config.web.config_update => {
                answer::error(StatusCode::FORBIDDEN, "config update is disabled")
            }
            Route::Configuration if is_post => configuration::post(self).await,
            Route::Configuration => configuration::get(&self.serving.config),
            Route::Exchange if is_post => exchange::post(self).await,
            Route::Exchange => exchange::get(self).await,
        }
    }

    fn prometheus(&self) -> Answer {
        let board = &self.shared.board;
        let name = self.parameter("exporter").unwrap_or_default();
        if name.is_empty() {
            let names = serde_json::to_vec(&board.exporters());
            return answer::json(names.unwrap_or_else(|_| b"[]".to_vec()));
        }
        match board.exporter(&name) {
            Some(scrape) => answer::scrape(scrape),
            None => answer::with_type("text/plain", &b"Unknown exporter"[..]),
        }
    }

    fn figures(&self) -> Answer {
        let mut text = prometheus::write(&self.shared.board.document(), &Root::real());
        self.shared.figures.print(&mut text);
        answer::with_type(prometheus::CONTENT_TYPE, text)
    }

    /// The first parameter of this name in the query.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let query = self.request.uri().query()?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(key)? == name).then(|| unescape(value))?
        })
    }

    /// The body of the request, or the answer to one that is too long or slow.
    pub(super) async fn body(&mut self) -> Result<Bytes, Answer> {
        let too_long = || {
            let text = "request body too large";
            answer::error(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        let body = self.request.body_mut();
        if body.size_hint().lower() > MAX_BODY as u64 {
            return Err(too_long());
        }
        match timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
            Ok(Err(_)) | Err(_) => Err(answer::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "could not read body",
            )),
        }
    }
}

/// What a path should be that has empty parts, or parts that go up.
fn cleaned(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let slash = if path.len() > 1 && path.ends_with('/') && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    let clean = format!("/{}{slash}", parts.join("/"));
    (clean != path && path.starts_with('/')).then_some(clean)
}

/// As the query of a URL is escaped; none if it is not.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_the_original_does() {
        for (path, want) in [
            ("/", None),
            ("/config", None),
            ("/config/", None),
            ("*", None),
            ("//", Some("/")),
            ("//config", Some("/config")),
            ("/a/../config", Some("/config")),
            ("/./config/", Some("/config/")),
            ("/..", Some("/")),
        ] {
            assert_eq!(cleaned(path).as_deref(), want, "{path}");
        }
    }

    #[test]
    fn queries_are_unescaped() {
        for (text, want) in [
            ("node", Some("node")),
            ("a+b%20c", Some("a b c")),
            ("%C3%B6", Some("ö")),
            ("%", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(unescape(text).as_deref(), want, "{text}");
        }
    }
}
