//! Where the document of `once` and `discover` comes from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent::{Document, Rules};
use bstr::BString;
use program::exit::chain;
use program::{Failure, Status};

use crate::cli::Source;
use crate::config::{Config, DEFAULT, Host, read_secret};
use crate::daemon;
use crate::exchange::{Agent, Login};
use crate::memory::Memory;
use crate::place::Url;
use crate::trust::{self, Authorities, Belief, Trust};

/// An agent that is asked by its URL has that long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A document, and what is known of the host that it is from.
pub(crate) struct Found {
    pub(crate) document: Document,
    pub(crate) host_name: BString,
    /// Where the agent is.
    pub(crate) address: Option<String>,
    /// The host's configuration.
    pub(crate) host: Option<Host>,
}

impl Found {
    /// What the configuration says of thresholds.
    pub(crate) fn rules(&self) -> Rules {
        self.host
            .as_ref()
            .map(|host| host.rules.clone())
            .unwrap_or_default()
    }
}

/// Reads or fetches the document.
pub(crate) fn find(source: &Source) -> Result<Found, Failure> {
    let name = &source.source;
    let path = Path::new(name);
    let (text, address, host) = match Url::parse(name) {
        Some(url) => {
            let url = url.map_err(|why| Failure::new(Status::Usage, why))?;
            let text = ask(&url, source)?;
            (text, Some(url.place.address), None)
        }
        // A name with a slash is meant as a path, whether it is there or not.
        None if name == "-" || name.contains('/') || path.exists() => (read(path)?, None, None),
        None => {
            let (text, host) = ask_host(name, source.config.as_deref())?;
            (text, Some(host.place.address.clone()), Some(host))
        }
    };
    let shown = if name == "-" { "standard input" } else { name };
    let document = Document::parse(&text)
        .map_err(|error| Failure::caused(Status::Failed, shown.to_owned(), error))?;
    let given = source
        .host
        .clone()
        .or(host.as_ref().map(|host| host.name.clone()));
    Ok(Found {
        document,
        // A document carries no name.
        host_name: match given {
            Some(name) => name.into(),
            None => rustix::system::uname().nodename().to_bytes().into(),
        },
        address,
        host,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let limit = agent::document::MAX_LEN as u64 + 1;
    let read = match path == Path::new("-") {
        true => io::stdin().lock().take(limit).read_to_end(&mut text),
        false => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text)),
    };
    let name = match path == Path::new("-") {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    read.map_err(|error| Failure::caused(Status::Failed, format!("cannot read {name}"), error))?;
    Ok(text)
}

/// Asks the agent at a URL.
fn ask(url: &Url, source: &Source) -> Result<Vec<u8>, Failure> {
    let bad = |what: String| Failure::new(Status::Failed, what);
    let login = match &source.login_file {
        None => Login::None,
        Some(path) => Login::Basic(read_secret(path).map_err(bad)?),
    };
    let tls = match url.is_tls {
        false => None,
        true => {
            let config = trust_of(source).map_err(bad)?.client_config("");
            let failed = |error| Failure::caused(Status::Failed, "cannot set up TLS", error);
            Some(config.map_err(failed)?)
        }
    };
    let agent = Agent {
        place: url.place.clone(),
        tls,
        login,
    };
    wait(async {
        let answer = tokio::time::timeout(DEADLINE, agent.get("/")).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer.body.to_vec()),
            Ok(Err(error)) => Err(Failure::new(Status::TryAgain, chain(&error))),
            Err(_) => {
                let what = format!("{url}: no answer within {} s", DEADLINE.as_secs());
                Err(Failure::new(Status::TryAgain, what))
            }
        }
    })
}

fn trust_of(source: &Source) -> Result<Trust, String> {
    let (belief, authorities) = match &source.ca {
        Some(ca) => (Belief::Authority, Authorities::read(ca, None)?),
        None => (Belief::Anyone, Authorities::default()),
    };
    let own = match (&source.certificate, &source.key) {
        (Some(certificate), Some(key)) => {
            let read = |path: &PathBuf| authority::directory::read(path).map_err(|e| chain(&e));
            let secret = authority::directory::read_secret(key).map_err(|e| chain(&e));
            Some(trust::own(&read(certificate)?, &secret?)?)
        }
        _ => None,
    };
    Ok(Trust {
        belief,
        authorities: Arc::new(authorities),
        own,
    })
}

/// Asks the agent of a host of the configuration file, as the daemon does.
fn ask_host(name: &str, config: Option<&Path>) -> Result<(Vec<u8>, Host), Failure> {
    let path = config.unwrap_or(Path::new(DEFAULT));
    let config = read_config(path)?;
    let Some(host) = config.host(name) else {
        let what = format!(
            "{name} is neither a file nor a URL, nor a host in {}",
            path.display()
        );
        return Err(Failure::new(Status::Failed, what));
    };
    let memory = Memory::open(&config.state.directory)?;
    let caller = daemon::caller(&config, host, &memory);
    let caller = caller.map_err(|what| Failure::new(Status::Failed, what))?;
    let failed = |error| Failure::caused(Status::Failed, "cannot look at the state", error);
    let mut record = memory.host(name).map_err(failed)?;
    let body = wait(async {
        let answer = caller.document(&mut record).await;
        let failed = |error| Failure::new(Status::TryAgain, format!("{name}: {}", chain(&error)));
        answer.map(|answer| answer.body.to_vec()).map_err(failed)
    })?;
    Ok((body, host.clone()))
}

/// Reads a configuration, and says all that is wrong with it.
pub(crate) fn read_config(path: &Path) -> Result<Config, Failure> {
    daemon::read(path).map_err(|problems| {
        for problem in problems {
            eprintln!("agentpoll: {problem}");
        }
        Failure::silent(Status::BadConfiguration)
    })
}

/// Waits for what happens on the network.
pub(crate) fn wait<T>(what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Status::TryAgain, "cannot start", error))?
        .block_on(what)
}
