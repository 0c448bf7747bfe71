//! One question to an agent and its answer, over plain HTTP or HTTPS.

use std::fmt;
use std::io;
use std::sync::Arc;

use authority::Certificate;
use data_encoding::BASE64;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::place::Place;

/// Longest answer that is taken.
const MAX_BODY: usize = agent::document::MAX_LEN;
/// Longest head of an answer, and most lines in it.
const MAX_HEAD: usize = 64 << 10;
const MAX_LINES: usize = 100;

/// An agent, and how it is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) place: Place,
    /// With TLS, if there is this.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) login: Login,
}

/// What an agent wants to hear before it answers.
#[derive(Clone, Default)]
pub(crate) enum Login {
    #[default]
    None,
    /// `USER:PASSWORD`
    Basic(String),
    /// A token, which our agent takes for the first exchange of certificates.
    Token(String),
}

/// What an agent has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    /// What it has shown in TLS.
    pub(crate) certificate: Option<Certificate>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Error {
    /// There is no such name, nobody listens there, or nothing comes back.
    Unreachable(Place, io::Error),
    /// TLS could not be agreed upon.
    Tls(Place, io::Error),
    /// What came is no HTTP, or it broke off.
    Http(Place, hyper::Error),
    /// The answer is too long.
    TooLong(Place),
    /// The answer broke off.
    Body(Place, Box<dyn std::error::Error + Send + Sync>),
    /// It answered, but not what was wanted.
    Status(Place, u16, String),
}

impl Agent {
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Answer, Error> {
        self.ask(Method::POST, path, body.into()).await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, Error> {
        let stream = self.connect().await?;
        let Some(config) = &self.tls else {
            let body = self.exchange(stream, method, path, body).await?;
            return Ok(Answer {
                body,
                certificate: None,
            });
        };
        // The name means nothing, the verifier knows whom it is about.
        let name = ServerName::try_from("agent.invalid").expect("a valid name");
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
            .map_err(|error| Error::Tls(self.place.clone(), error))?;
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown
            .and_then(<[_]>::first)
            .and_then(|der| Certificate::parse(der).ok());
        let body = self.exchange(stream, method, path, body).await?;
        Ok(Answer { body, certificate })
    }

    async fn connect(&self) -> Result<TcpStream, Error> {
        let failed = |error| Error::Unreachable(self.place.clone(), error);
        let place = (self.place.address.as_str(), self.place.port);
        let stream = TcpStream::connect(place).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }

    async fn exchange<S>(
        &self,
        stream: S,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let http = |error| Error::Http(self.place.clone(), error);
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(MAX_LINES)
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(http)?;
        // Ends with this function, whatever way that goes.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let mut question = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.place.to_string())
            .header(CONTENT_TYPE, "application/json")
            .header(
                USER_AGENT,
                concat!("sitewire-agentpoll/", env!("CARGO_PKG_VERSION")),
            );
        if let Some(value) = self.login.header() {
            question = question.header(AUTHORIZATION, value);
        }
        let question = question
            .body(Full::new(body))
            .expect("fixed words, and a place that was checked");
        let answer = sender.send_request(question).await.map_err(http)?;
        let status = answer.status();
        let body = self.read(answer.into_body()).await?;
        match status.as_u16() {
            200 => Ok(body),
            code => Err(Error::Status(
                self.place.clone(),
                code,
                program::log::quote(body.trim_ascii(), 200),
            )),
        }
    }
}

impl Agent {
    async fn read(&self, body: Incoming) -> Result<Bytes, Error> {
        // Who says that it will be too long is believed.
        if body.size_hint().lower() > MAX_BODY as u64 {
            return Err(Error::TooLong(self.place.clone()));
        }
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Error::TooLong(self.place.clone()),
            false => Error::Body(self.place.clone(), error),
        })?;
        Ok(body.to_bytes())
    }
}

impl Login {
    fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::None => return None,
            Self::Basic(pair) => format!("Basic {}", BASE64.encode(pair.as_bytes())),
            Self::Token(token) => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Error {
    /// Whether the agent speaks plain HTTP where TLS was meant.
    pub(crate) fn is_not_tls(&self) -> bool {
        let Self::Tls(_, error) = self else {
            return false;
        };
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        matches!(cause, Some(rustls::Error::InvalidMessage(_)))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(_) => "Basic",
            Self::Token(_) => "Token",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(place, _) => write!(f, "cannot connect to {place}"),
            Self::Tls(place, _) => write!(f, "TLS with {place} failed"),
            Self::Http(place, _) => write!(f, "{place} does not answer as it should"),
            Self::TooLong(place) => write!(
                f,
                "the answer of {place} is longer than {} MiB",
                MAX_BODY >> 20
            ),
            Self::Body(place, _) => write!(f, "the answer of {place} broke off"),
            Self::Status(place, 403, _) => write!(f, "{place} refuses: wrong user or password?"),
            Self::Status(place, code, text) if text.is_empty() => {
                write!(f, "{place} answers with status {code}")
            }
            Self::Status(place, code, text) => {
                write!(f, "{place} answers with status {code}: {text}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(_, error) | Self::Tls(_, error) => Some(error),
            Self::Http(_, error) => Some(error),
            Self::Body(_, error) => Some(&**error),
            _ => None,
        }
    }
}
