//! How the agent of a host is asked, and how it comes to TLS.
//!
//! | remembered | `tls` | asked in |
//! |---|---|---|
//! | nothing | off | plain text |
//! | nothing | certificate | TLS, which is remembered once it worked |
//! | nothing | auto | TLS; where there is none yet, certificates are exchanged in plain text, and TLS is remembered |
//! | TLS | any | TLS |
//!
//! That a host has spoken TLS is remembered on the disk before anything else is
//! asked of it: whoever stands in between cannot lead it back.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use authority::Certificate;
use hyper::body::Bytes;
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Host, Tls};
use crate::exchange::{self, Agent, Answer, Login};
use crate::memory::{HostRecord, Memory};
use crate::signer::Signer;
use crate::trust::Trust;

/// An exchange of certificates may take that long: the agent makes a key.
const EXCHANGE: Duration = Duration::from_secs(60);
/// Then the agent must answer with TLS within that time.
const SWITCH: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);
/// Longest request for a certificate, in PEM.
const MAX_REQUEST: usize = 32 << 10;

/// Asks the agent of one host.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) host: Arc<Host>,
    pub(crate) trust: Trust,
    /// None if nobody here signs.
    pub(crate) signer: Option<Signer>,
    pub(crate) memory: Memory,
}

/// Why there is no document.
#[derive(Debug)]
pub(crate) enum Error {
    /// The agent.
    Agent(exchange::Error),
    /// It took too long.
    Deadline(Duration),
    /// It would have been plain text, with a host that has spoken TLS.
    Downgrade,
    /// What it sent for a request for a certificate is none, or cannot be signed.
    Signing(String),
    /// What is known of the host cannot be read or written.
    Memory(io::Error),
    /// TLS cannot be set up.
    Setup(rustls::Error),
}

/// The answer to `GET /autotls`.
#[derive(Deserialize)]
struct Wanted {
    csr: String,
}

impl Caller {
    /// Fetches the document, within the host's deadline. `record` is what is
    /// known of the host, and learns what happens.
    pub(crate) async fn document(&self, record: &mut HostRecord) -> Result<Answer, Error> {
        match (self.host.tls, record.has_spoken_tls) {
            (Tls::Off, true) => Err(Error::Downgrade),
            (Tls::Off, false) => self.get(&self.plain()).await,
            (Tls::Certificate, _) | (Tls::Auto, true) => {
                let answer = self.get(&self.secure()?).await?;
                self.remember(record)?;
                Ok(answer)
            }
            (Tls::Auto, false) => match self.get(&self.secure()?).await {
                Err(Error::Agent(error)) if error.is_not_tls() => {
                    self.exchange(&self.first(), record).await?;
                    self.switched().await
                }
                Err(error) => Err(error),
                Ok(answer) => {
                    self.remember(record)?;
                    Ok(answer)
                }
            },
        }
    }

    /// Gives the agent another certificate if the one that it has shown runs
    /// out; whether it was so.
    pub(crate) async fn renew(&self, shown: &Certificate) -> Result<bool, Error> {
        let signer = self.signer.as_ref().filter(|signer| signer.is_due(shown));
        if signer.is_none() || self.host.tls != Tls::Auto {
            return Ok(false);
        }
        let mut record = self.memory.host(&self.host.name).map_err(Error::Memory)?;
        self.exchange(&self.secure()?, &mut record).await?;
        Ok(true)
    }

    /// Fetches a request for a certificate, signs it and hands the certificate
    /// over.
    async fn exchange(&self, agent: &Agent, record: &mut HostRecord) -> Result<(), Error> {
        let exchanging = async {
            let answer = agent.get("/autotls").await.map_err(Error::Agent)?;
            let signed = self.sign(&answer.body).await?;
            let body = json!({"signed": signed.leaf, "ca": signed.ca}).to_string();
            let posted = agent.post("/autotls", body.into_bytes()).await;
            posted.map_err(Error::Agent).map(drop)
        };
        let exchanged = timeout(EXCHANGE, exchanging).await;
        exchanged.map_err(|_| Error::Deadline(EXCHANGE))??;
        self.remember(record)?;
        tracing::info!("{}: the agent has a certificate of ours", self.host.name);
        Ok(())
    }

    async fn sign(&self, body: &Bytes) -> Result<crate::signer::Signed, Error> {
        let Some(signer) = self.signer.clone() else {
            let what = "there is no [authority] that signs for it";
            return Err(Error::Signing(what.to_owned()));
        };
        let csr = read_request(body).map_err(Error::Signing)?;
        let host = Arc::clone(&self.host);
        // Somebody else may be at the authority: that is waited for elsewhere.
        let signing = move || signer.sign(&host.name, &host.place.address, &csr);
        let signed = tokio::task::spawn_blocking(signing).await;
        signed
            .unwrap_or_else(|_| Err("signing has ended early".to_owned()))
            .map_err(Error::Signing)
    }

    /// The first document after the exchange: the agent is just opening its door
    /// anew.
    async fn switched(&self) -> Result<Answer, Error> {
        let end = Instant::now() + SWITCH;
        let agent = self.secure()?;
        loop {
            match self.get(&agent).await {
                Err(_) if Instant::now() < end => sleep(PAUSE).await,
                result => return result,
            }
        }
    }

    async fn get(&self, agent: &Agent) -> Result<Answer, Error> {
        let limit = self.host.deadline;
        let answer = timeout(limit, agent.get("/")).await;
        answer
            .map_err(|_| Error::Deadline(limit))?
            .map_err(Error::Agent)
    }

    fn remember(&self, record: &mut HostRecord) -> Result<(), Error> {
        if record.has_spoken_tls {
            return Ok(());
        }
        record.has_spoken_tls = true;
        let stored = self.memory.store_host(&self.host.name, record);
        stored.map_err(Error::Memory)
    }

    fn plain(&self) -> Agent {
        self.agent(None, self.host.login.clone())
    }

    /// For the first exchange, for which our agents may want a token.
    fn first(&self) -> Agent {
        let login = match &self.host.token {
            Some(token) => Login::Token(token.clone()),
            None => self.host.login.clone(),
        };
        self.agent(None, login)
    }

    fn secure(&self) -> Result<Agent, Error> {
        let config = self.trust.client_config(&self.host.name);
        let config = config.map_err(Error::Setup)?;
        Ok(self.agent(Some(config), self.host.login.clone()))
    }

    fn agent(&self, tls: Option<Arc<ClientConfig>>, login: Login) -> Agent {
        Agent {
            place: self.host.place.clone(),
            tls,
            login,
        }
    }
}

/// The request for a certificate in an answer to `GET /autotls`.
pub(crate) fn read_request(body: &[u8]) -> Result<String, String> {
    if body.len() > MAX_REQUEST {
        return Err("the agent's request is too long".to_owned());
    }
    let wanted: Wanted = serde_json::from_slice(body)
        .map_err(|error| format!("the agent sends no request for a certificate: {error}"))?;
    Ok(wanted.csr)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(error) => error.fmt(f),
            Self::Deadline(limit) => write!(f, "no answer within {} s", limit.as_secs_f64()),
            Self::Downgrade => f.write_str(
                "it has spoken TLS, so it is not asked in plain text; \
                 `agentpoll forget` makes it a new host",
            ),
            Self::Signing(what) => f.write_str(what),
            Self::Memory(_) => f.write_str("cannot read or write what is known of it"),
            Self::Setup(_) => f.write_str("cannot set up TLS"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Agent(error) => error.source(),
            Self::Memory(error) => Some(error),
            Self::Setup(error) => Some(error),
            _ => None,
        }
    }
}
