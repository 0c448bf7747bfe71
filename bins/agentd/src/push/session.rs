//! What is said to the server in one go: the registration if it is still to be
//! made, then the newest document, then the inventory if it is new.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::client::{Answer, Client};
use super::identity::{Identity, Store};
use crate::config::Push;

/// Where the kernel is asked how it would get there: addresses of
/// documentation, to which nothing is sent.
const ELSEWHERE: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 49151),
    SocketAddr::new(
        std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        49151,
    ),
];
/// A UUID that is refused for so long is given up.
const NEW_IDENTITY: Duration = Duration::from_secs(6 * 3600);

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server has the document; this many services got something of it.
    Taken(i64),
    /// The server knows us, but somebody must allow us first.
    Waiting,
    /// The server does not like what we say, which may be for now: an agent that
    /// belongs to no host yet is told so with each document.
    Rejected(String),
    /// Nobody can help but an administrator.
    Refused(String),
    /// The server could not be asked, or has troubles of its own.
    Unreachable(String),
}

/// Our side of it.
pub(super) struct Session {
    client: Client,
    store: Store,
    identity: Identity,
    timeout: Duration,
    hostname: String,
    /// Since when our UUID is refused.
    locked: Option<Instant>,
}

#[derive(Serialize)]
struct Registration<'a> {
    agentuuid: &'a str,
    password: &'a str,
    hostname: &'a str,
    ipaddress: &'a str,
}

/// Whether a session could begin. Changes nothing.
pub(super) fn check(push: &Push) -> Result<(), String> {
    Client::new(push)?;
    Store::new(&push.auth_file).check()
}

impl Session {
    pub(super) fn new(push: &Push, hostname: String) -> Result<Self, String> {
        let store = Store::new(&push.auth_file);
        Ok(Self {
            client: Client::new(push)?,
            identity: store.load()?,
            store,
            timeout: push.timeout,
            hostname,
            locked: None,
        })
    }

    /// Sends a document.
    pub(super) fn push(&mut self, document: &[u8]) -> Outcome {
        let deadline = Instant::now() + self.timeout;
        if self.identity.password.is_empty()
            && let Some(outcome) = self.register(deadline)
        {
            return outcome;
        }
        match self.submit("submit_checkdata", document, deadline) {
            Ok(answer) => match answer.status {
                200 => Outcome::Taken(answer.received_checks),
                405 => refused_key(),
                500.. => Outcome::Unreachable(answer.reason()),
                _ => Outcome::Rejected(answer.reason()),
            },
            Err(what) => Outcome::Unreachable(what),
        }
    }

    /// Sends the inventory. Older servers do not know what that is.
    pub(super) fn push_inventory(&self, inventory: &[u8]) -> Outcome {
        let deadline = Instant::now() + self.timeout;
        match self.submit("submit_package_info", inventory, deadline) {
            Ok(answer) if answer.status == 200 => Outcome::Taken(0),
            Ok(answer) => Outcome::Rejected(answer.reason()),
            Err(what) => Outcome::Unreachable(what),
        }
    }

    pub(super) fn is_registered(&self) -> bool {
        !self.identity.password.is_empty()
    }

    /// None when we are registered now.
    fn register(&mut self, deadline: Instant) -> Option<Outcome> {
        // If the password could not be kept, the UUID would be lost with it.
        if let Err(error) = self.store.save(&self.identity) {
            return Some(Outcome::Refused(format!(
                "cannot keep the identity: {error}"
            )));
        }
        let address = local_address();
        let registration = Registration {
            agentuuid: &self.identity.uuid,
            password: &self.identity.password,
            hostname: &self.hostname,
            ipaddress: &address,
        };
        let body = serde_json::to_vec(&registration).unwrap_or_default();
        match self.client.post("register_agent", &body, deadline) {
            Ok(answer) => self.registered(&answer),
            Err(what) => Some(Outcome::Unreachable(what)),
        }
    }

    fn registered(&mut self, answer: &Answer) -> Option<Outcome> {
        if answer.status != 403 {
            self.locked = None;
        }
        match answer.status {
            201 if answer.agentuuid != self.identity.uuid => Some(Outcome::Rejected(
                "the server has registered another UUID than ours".to_owned(),
            )),
            201 if answer.password.is_empty() => Some(Outcome::Waiting),
            201 => {
                self.identity.password = answer.password.clone();
                if let Err(error) = self.store.save(&self.identity) {
                    // It is used all the same: the server gives no other.
                    tracing::error!("cannot keep the password of the server: {error}");
                }
                tracing::info!("registered at the server as {}", self.identity.uuid);
                None
            }
            403 => Some(self.locked()),
            405 => Some(refused_key()),
            500.. => Some(Outcome::Unreachable(answer.reason())),
            200 => Some(Outcome::Rejected(
                "the server believes that we are registered".to_owned(),
            )),
            _ => Some(Outcome::Rejected(answer.reason())),
        }
    }

    /// The server has given a password for our UUID, which we do not have.
    fn locked(&mut self) -> Outcome {
        let uuid = &self.identity.uuid;
        let text =
            format!("the server knows {uuid} by a password that was lost: delete this agent there");
        let since = *self.locked.get_or_insert_with(Instant::now);
        if since.elapsed() >= NEW_IDENTITY
            && let Ok(fresh) = Identity::fresh()
        {
            tracing::warn!(
                "{uuid} has been refused for long: we are {} from now on",
                fresh.uuid
            );
            self.identity = fresh;
            self.locked = None;
        }
        Outcome::Refused(text)
    }

    fn submit(&self, name: &str, data: &[u8], deadline: Instant) -> Result<Answer, String> {
        let text = |text: &str| serde_json::to_vec(text).unwrap_or_default();
        let mut body = Vec::with_capacity(data.len() + 256);
        for part in [
            &b"{\"checkdata\":"[..],
            data,
            b",\"agentuuid\":",
            &text(&self.identity.uuid),
            b",\"password\":",
            &text(&self.identity.password),
            b"}",
        ] {
            body.extend_from_slice(part);
        }
        self.client.post(name, &body, deadline)
    }
}

fn refused_key() -> Outcome {
    Outcome::Refused("the server refuses the API key, most likely".to_owned())
}

/// The address that others see of us, most likely.
fn local_address() -> String {
    let ask = |there: &SocketAddr| {
        let here: SocketAddr = match there {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(here).ok()?;
        socket.connect(there).ok()?;
        Some(socket.local_addr().ok()?.ip().to_string())
    };
    ELSEWHERE.iter().find_map(ask).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::Config;

    fn session(dir: &TempDir) -> Session {
        let text = format!(
            "[oitc]\nenabled = 1\nurl = http://127.0.0.1:1\napikey = k\nauthfile = {}/auth.json\n",
            dir.path().display()
        );
        let path = dir.path().join("config.ini");
        std::fs::write(&path, text).unwrap();
        let (config, _) = Config::load(&path);
        Session::new(&config.push, "here".to_owned()).unwrap()
    }

    fn answer(status: u16, uuid: &str, password: &str) -> Answer {
        Answer {
            status,
            agentuuid: uuid.to_owned(),
            password: password.to_owned(),
            ..Answer::default()
        }
    }

    #[test]
    fn only_a_password_for_our_uuid_registers_us() {
        let dir = TempDir::new().unwrap();
        let mut session = session(&dir);
        let own = session.identity.uuid.clone();
        for (status, uuid, password) in [
            (201, own.as_str(), ""),
            (201, "another", "p"),
            (200, own.as_str(), "p"),
            (403, "", ""),
            (405, "", ""),
            (404, "", ""),
            (500, "", ""),
        ] {
            let outcome = session.registered(&answer(status, uuid, password));
            assert!(outcome.is_some(), "{status}");
            assert!(!session.is_registered(), "{status}");
        }
        assert_eq!(session.registered(&answer(201, &own, "p")), None);
        assert!(session.is_registered());
        assert_eq!(session.store.load().unwrap().password, "p");
    }

    #[test]
    fn a_uuid_that_is_refused_for_long_is_given_up() {
        let dir = TempDir::new().unwrap();
        let mut session = session(&dir);
        let own = session.identity.uuid.clone();
        session.registered(&answer(403, "", ""));
        assert_eq!(session.identity.uuid, own);
        session.locked = Instant::now().checked_sub(NEW_IDENTITY);
        session.registered(&answer(403, "", ""));
        assert_ne!(session.identity.uuid, own);
        assert_eq!(session.locked, None);
    }
}
