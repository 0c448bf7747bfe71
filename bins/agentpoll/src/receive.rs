//! Where agents push to: openITCOCKPIT's interface for them, over HTTPS.
//!
//! | agent | registers | submits |
//! |---|---|---|
//! | unknown | gets a password, waits for acceptance | refused, 400 |
//! | waiting, never used its password | gets another one: it may not have kept the first | refused, 400 |
//! | waiting or accepted, password used | without it: refused, 403 | 400, or 200 once accepted |
//!
//! Whoever does not know the API key gets no further than the head of his
//! request, and the answer 405, which is what agents know.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use net::Listener;
use net::server::{Server, ServerFiles};
use objects::UnixTime;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;

use crate::config::Receive;
use crate::figures::Figures;
use crate::memory::{self, AgentRecord, Memory};
use crate::push::{Registration, Submission};

/// Longest registration, longest submission.
const MAX_REGISTRATION: usize = 16 << 10;
const MAX_SUBMISSION: usize = agent::document::MAX_LEN + (1 << 20);
/// The handshake, the head of a request, and a whole connection may take that
/// long; an agent pushes and goes.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(120);
/// Connections at the same time.
const CONNECTIONS: usize = 512;

/// Takes what agents push.
pub(crate) struct Receiver {
    pub(crate) api_key: String,
    /// Agents that may wait for acceptance.
    pub(crate) waiting: usize,
    pub(crate) memory: Memory,
    pub(crate) figures: Figures,
    /// Where documents go, by host.
    pub(crate) hosts: HashMap<String, mpsc::Sender<Bytes>>,
    /// Records are changed one at a time.
    pub(crate) changing: Mutex<()>,
}

/// The certificate with which agents are received, if there is to be one.
pub(crate) fn load(receive: &Receive) -> Result<Option<Server>, net::Error> {
    let Some((certificate, key)) = &receive.tls else {
        return Ok(None);
    };
    let files = ServerFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_ca: None,
        crl: None,
    };
    Server::load(&files).map(Some)
}

/// Serves, for ever.
pub(crate) async fn serve(
    receiver: Arc<Receiver>,
    listener: Arc<Listener>,
    tls: Option<Arc<Server>>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Ends with this function.
    let mut visitors = tokio::task::JoinSet::new();
    loop {
        while visitors.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: it will pass.
                tracing::warn!("cannot accept agents: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (receiver, tls) = (Arc::clone(&receiver), tls.clone());
        visitors.spawn(async move {
            let _place = place;
            let serving = async {
                match tls {
                    None => answer(receiver, stream).await,
                    Some(tls) => match tls.accept(stream, HANDSHAKE).await {
                        Ok((stream, _)) => answer(receiver, stream).await,
                        Err(error) => tracing::debug!("{from}: {}", program::exit::chain(&error)),
                    },
                }
            };
            let _ = timeout(WHOLE, serving).await;
        });
    }
}

async fn answer<S>(receiver: Arc<Receiver>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let receiver = Arc::clone(&receiver);
        async move {
            let (status, value) = receiver.handle(request).await;
            Ok::<_, Infallible>(response(status, &value))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(64)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!("an agent's connection broke: {error}");
    }
}

fn response(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let body = Full::new(Bytes::from(value.to_string()));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

type Reply = (StatusCode, Value);

fn refusal(status: StatusCode, what: &str) -> Reply {
    (status, json!({"error": what}))
}

impl Receiver {
    async fn handle(&self, request: Request<Incoming>) -> Reply {
        if !self.has_key(&request) {
            self.figures.refused_push();
            return refusal(StatusCode::METHOD_NOT_ALLOWED, "wrong API key");
        }
        let path = request.uri().path();
        let limit = match path.strip_prefix("/agentconnector/") {
            Some("register_agent.json") => MAX_REGISTRATION,
            Some("submit_checkdata.json" | "submit_package_info.json") => MAX_SUBMISSION,
            _ => return refusal(StatusCode::NOT_FOUND, "there is no such page"),
        };
        if request.method() != Method::POST {
            return refusal(StatusCode::METHOD_NOT_ALLOWED, "only POST");
        }
        let path = path.to_owned();
        let Ok(body) = Limited::new(request.into_body(), limit).collect().await else {
            return refusal(StatusCode::BAD_REQUEST, "too long, or cut off");
        };
        let body = body.to_bytes();
        let handled = if path.ends_with("register_agent.json") {
            self.register(&body).await
        } else {
            let is_document = path.ends_with("submit_checkdata.json");
            self.submit(&body, is_document).await
        };
        handled.unwrap_or_else(|error| {
            tracing::error!("cannot answer an agent: {error}");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal server error")
        })
    }

    fn has_key(&self, request: &Request<Incoming>) -> bool {
        let given = request.headers().get(AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok());
        let key = given.and_then(|value| value.strip_prefix("X-OITC-API "));
        key.is_some_and(|key| memory::is_same(key.trim().as_bytes(), self.api_key.as_bytes()))
    }

    async fn register(&self, body: &[u8]) -> io::Result<Reply> {
        let registration = match Registration::parse(body) {
            Ok(registration) => registration,
            Err(what) => return Ok(refusal(StatusCode::BAD_REQUEST, &what)),
        };
        let _changing = self.changing.lock().await;
        let known = self.memory.agent(&registration.uuid)?;
        let host = match (&known, registration.password.is_empty()) {
            (Some(known), false) if known.knows(&registration.password) => {
                return Ok((StatusCode::OK, json!({"success": true})));
            }
            (_, false) => {
                let what = "there is no agent with this password";
                return Ok(refusal(StatusCode::NOT_FOUND, what));
            }
            (Some(known), true) if known.is_used => {
                let what = "this agent has a password already; forget it to give it another";
                return Ok(refusal(StatusCode::FORBIDDEN, what));
            }
            (Some(known), true) => known.host.clone(),
            (None, true) => {
                if self
                    .memory
                    .agents()?
                    .iter()
                    .filter(|a| a.host.is_none())
                    .count()
                    >= self.waiting
                {
                    tracing::warn!("an agent is turned away: too many wait for acceptance");
                    let what = "too many agents wait for acceptance";
                    return Ok(refusal(StatusCode::FORBIDDEN, what));
                }
                None
            }
        };
        let (password, password_hash) = memory::new_password()?;
        self.memory.store_agent(&AgentRecord {
            uuid: registration.uuid.clone(),
            password_hash,
            hostname: registration.hostname.clone(),
            ipaddress: registration.ipaddress.clone(),
            registered: UnixTime::from(SystemTime::now()).secs(),
            is_used: false,
            host,
        })?;
        tracing::info!(
            "agent {} of {:?} at {:?} has registered",
            registration.uuid,
            registration.hostname,
            registration.ipaddress
        );
        let answer = json!({"agentuuid": registration.uuid, "password": password});
        Ok((StatusCode::CREATED, answer))
    }

    async fn submit(&self, body: &[u8], is_document: bool) -> io::Result<Reply> {
        const NOBODY: &str = "Invalid credentials or host not found";
        let submission = match Submission::parse(body) {
            Ok(submission) => submission,
            Err(what) => return Ok(refusal(StatusCode::BAD_REQUEST, &what)),
        };
        let Some(host) = self.who(&submission).await? else {
            self.figures.refused_push();
            return Ok(refusal(StatusCode::BAD_REQUEST, NOBODY));
        };
        let Some(sender) = self.hosts.get(&host) else {
            tracing::warn!(
                "agent {} pushes for {host}, which is no host that pushes",
                submission.uuid
            );
            return Ok(refusal(StatusCode::BAD_REQUEST, NOBODY));
        };
        if !is_document {
            self.memory
                .store_packages(&host, submission.checkdata.get().as_bytes())?;
            return Ok((StatusCode::OK, json!({"success": true})));
        }
        let document = Bytes::copy_from_slice(submission.checkdata.get().as_bytes());
        // Who pushes faster than is looked at does not need each to be looked at.
        let _ = sender.try_send(document);
        let services = self.figures.services(&host);
        Ok((
            StatusCode::OK,
            json!({"success": true, "received_checks": services}),
        ))
    }

    /// The host of an agent that is who it says and was accepted.
    async fn who(&self, submission: &Submission<'_>) -> io::Result<Option<String>> {
        let Some(mut known) = self.memory.agent(&submission.uuid)? else {
            return Ok(None);
        };
        if submission.password.is_empty() || !known.knows(&submission.password) {
            return Ok(None);
        }
        if !known.is_used {
            let _changing = self.changing.lock().await;
            // Again: it may have been accepted this moment.
            if let Some(newest) = self.memory.agent(&submission.uuid)? {
                known = newest;
            }
            known.is_used = true;
            self.memory.store_agent(&known)?;
        }
        Ok(known.host)
    }
}
