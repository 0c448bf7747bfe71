//! The agents that push: listing them, accepting them, forgetting them.

use std::fmt::Write as _;
use std::path::Path;

use program::{Failure, Status};
use serde_json::json;

use crate::cli::{Accept, Agents, Forget};
use crate::config::{DEFAULT, Mode};
use crate::memory::Memory;
use crate::run::print;
use crate::source::read_config;

pub(crate) fn list(args: &Agents) -> Result<Status, Failure> {
    let config = read_config(args.config.as_deref().unwrap_or(Path::new(DEFAULT)))?;
    let memory = Memory::open(&config.state.directory)?;
    let mut text = String::new();
    for agent in memory.agents().map_err(failed)? {
        if args.json {
            let line = json!({
                "uuid": agent.uuid,
                "host": agent.host,
                "hostname": agent.hostname,
                "ipaddress": agent.ipaddress,
                "registered": agent.registered,
                "is_used": agent.is_used,
            });
            let _ = writeln!(text, "{line}");
            continue;
        }
        let state = match &agent.host {
            Some(host) => format!("agent of {host}"),
            None => "waits for acceptance".to_owned(),
        };
        let quote = |text: &str| program::log::quote(text.as_bytes(), 100);
        let _ = writeln!(
            text,
            "{}  {state}: calls itself {}, at {}, registered {}",
            agent.uuid,
            quote(&agent.hostname),
            quote(&agent.ipaddress),
            moment(agent.registered),
        );
    }
    print(text.as_bytes())
}

pub(crate) fn accept(args: &Accept) -> Result<Status, Failure> {
    let path = args.config.as_deref().unwrap_or(Path::new(DEFAULT));
    let config = read_config(path)?;
    let memory = Memory::open(&config.state.directory)?;
    let agent = match crate::push::check_uuid(&args.uuid) {
        Ok(()) => memory.agent(&args.uuid).map_err(failed)?,
        Err(_) => None,
    };
    let Some(mut agent) = agent else {
        let what = format!("no agent {:?} has registered", args.uuid);
        return Err(Failure::new(Status::Failed, what));
    };
    if let Some(host) = agent.host.as_ref().filter(|host| **host != args.host) {
        let what = format!("it is the agent of {host}; forget it before it becomes another's");
        return Err(Failure::new(Status::Failed, what));
    }
    let taken = memory.agents().map_err(failed)?;
    let other = |agent: &&crate::memory::AgentRecord| {
        agent.host.as_deref() == Some(&args.host) && agent.uuid != args.uuid
    };
    if let Some(other) = taken.iter().find(other) {
        let what = format!(
            "{} has an agent already, {}; forget it first",
            args.host, other.uuid
        );
        return Err(Failure::new(Status::Failed, what));
    }
    agent.host = Some(args.host.clone());
    memory.store_agent(&agent).map_err(failed)?;
    if config
        .host(&args.host)
        .is_none_or(|host| host.mode != Mode::Push)
    {
        eprintln!(
            "agentpoll: accepted; but {} has no host {:?} with mode = \"push\" yet",
            path.display(),
            args.host
        );
    }
    Ok(Status::Done)
}

pub(crate) fn forget(args: &Forget) -> Result<Status, Failure> {
    let config = read_config(args.config.as_deref().unwrap_or(Path::new(DEFAULT)))?;
    let memory = Memory::open(&config.state.directory)?;
    let was_agent = crate::push::check_uuid(&args.whom).is_ok()
        && memory.forget_agent(&args.whom).map_err(failed)?;
    let was_host = memory.forget_host(&args.whom).map_err(failed)?;
    match was_agent || was_host {
        true => Ok(Status::Done),
        false => {
            let what = format!("nothing is known of {:?}", args.whom);
            Err(Failure::new(Status::Failed, what))
        }
    }
}

/// In local time.
fn moment(secs: i64) -> String {
    let at = jiff::Timestamp::from_second(secs).unwrap_or_default();
    let at = at.to_zoned(jiff::tz::TimeZone::system());
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn failed(error: std::io::Error) -> Failure {
    Failure::caused(Status::Failed, "cannot use the state directory", error)
}
