//! Commands: passive check results are taken, and what people say about objects
//! that get them. Everything else would have to be done at the site of the
//! object, and is refused with a text that says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bstr::{BStr, ByteSlice};
use livestatus::Command;
use objects::{CheckResult, HostState, ServiceState, StateCode, UnixTime};
use program::log::quote;
use tracing::info;

use crate::annotate;
use crate::check::OlderThanLastCheck;
use crate::counters::Counters;
use crate::store::Site;

/// Makes the next dump of a site the first one, whatever its epoch and sequence.
const FORGET_ORDER: &str = "SITEWIRE_FORGET_ORDER";

/// Carries out a command on the sites in view. The error says why not.
pub(crate) fn execute(
    command: &Command,
    sites: &[Arc<Site>],
    is_merged: bool,
    counters: &Counters,
    now: UnixTime,
) -> Result<(), String> {
    counters
        .last_command_check
        .store(now.secs().max(0) as u64, Ordering::Relaxed);
    let result = match command.check_result() {
        Some(Ok(result)) => take(result, sites, counters, now),
        Some(Err(error)) => Err(error.to_string()),
        None if is_merged && command.name == FORGET_ORDER => forget_order(command, sites),
        None => annotate::execute(command, sites, now).unwrap_or_else(|| Err(not_here(command))),
    };
    match &result {
        Ok(()) => counters.external_commands.add(),
        Err(_) => counters.refused_commands.add(),
    }
    result
}

/// `SITEWIRE_FORGET_ORDER;SITE`. A dump that claimed to be of the far future
/// would otherwise keep out all that come after it. Only those who see all sites
/// may do it: the site itself could make old states look new.
fn forget_order(command: &Command, sites: &[Arc<Site>]) -> Result<(), String> {
    let id = command.arguments.as_bstr();
    let site = sites.iter().find(|site| *id == site.id.as_str());
    let site = site.ok_or_else(|| format!("site '{}' is not configured", name(id)))?;
    let mut status = site.status();
    let newest = status.dumps.newest.take();
    status.dumps.last_complete = None;
    drop(status);
    site.changed();
    match newest {
        Some((epoch, sequence)) => info!(
            site = %site.id,
            "forgot the order of dumps on request; the newest was of epoch {epoch}, sequence {sequence}"
        ),
        None => info!(site = %site.id, "asked to forget the order of dumps, but there was none"),
    }
    Ok(())
}

fn take(
    result: CheckResult,
    sites: &[Arc<Site>],
    counters: &Counters,
    now: UnixTime,
) -> Result<(), String> {
    let site = the_site_of(result.host_name.as_bstr(), sites)?;
    let host_name = result.host_name.clone();
    let Some(description) = result.service_description.clone() else {
        counters.host_checks.add();
        return take_host(site, host_name.as_bstr(), result, now);
    };
    counters.service_checks.add();
    take_service(
        site,
        host_name.as_bstr(),
        description.as_bstr(),
        result,
        now,
    )
}

fn take_host(
    site: &Site,
    host_name: &BStr,
    result: CheckResult,
    now: UnixTime,
) -> Result<(), String> {
    let code = result.return_code;
    let state = HostState::from_code(code.into()).ok_or_else(|| {
        format!(
            "host '{}': {code} is not the state of a host",
            name(host_name)
        )
    })?;
    let mut outcome = Ok(());
    // Nobody checks a host here again, so its state is confirmed at once.
    let found = site.with_host(host_name, |_, host| {
        outcome = host.take_result(state, result, 1, now);
    });
    if !found {
        return Err(unknown_host(host_name));
    }
    outcome.map_err(|OlderThanLastCheck| format!("host '{}': {OLDER}", name(host_name)))
}

fn take_service(
    site: &Site,
    host_name: &BStr,
    description: &BStr,
    result: CheckResult,
    now: UnixTime,
) -> Result<(), String> {
    let code = result.return_code;
    let what = || {
        format!(
            "service '{}' of host '{}'",
            name(description),
            name(host_name)
        )
    };
    let state = ServiceState::from_code(code.into())
        .ok_or_else(|| format!("{}: {code} is not the state of a service", what()))?;
    let mut outcome = Ok(());
    let found = site.with_service(host_name, description, |config, service| {
        outcome = service.take_result(state, result, config.config.max_check_attempts, now);
    });
    if !found {
        return Err(format!("{} is not configured at site {}", what(), site.id));
    }
    outcome.map_err(|OlderThanLastCheck| format!("{}: {OLDER}", what()))
}

const OLDER: &str = "the result is older than the last check";

/// On the merged socket a name must be of one site only.
pub(crate) fn the_site_of<'s>(
    host_name: &BStr,
    sites: &'s [Arc<Site>],
) -> Result<&'s Site, String> {
    let mut with_host = sites
        .iter()
        .filter(|site| site.objects().host(host_name).is_some());
    match (with_host.next(), with_host.next()) {
        (Some(site), None) => Ok(site),
        (None, _) => Err(unknown_host(host_name)),
        (Some(one), Some(other)) => Err(format!(
            "host '{}' is at site {} and at site {}: send the command to the socket of the site that is meant",
            name(host_name),
            one.id,
            other.id
        )),
    }
}

fn unknown_host(host_name: &BStr) -> String {
    format!("host '{}' is not configured", name(host_name))
}

fn not_here(command: &Command) -> String {
    let command = command.name.as_bstr();
    if command == FORGET_ORDER {
        format!("{FORGET_ORDER} is taken where all sites are shown only")
    } else if command.starts_with(b"SITEWIRE_") || command.starts_with(b"UPDATE_SHADOW_") {
        format!(
            "{} is not taken here: dumps go to the ingest socket of their site",
            name(command)
        )
    } else {
        format!(
            "{} is not possible here: objects are shadows of those at their sites, and are changed there",
            name(command)
        )
    }
}

/// A client's word for a message.
pub(crate) fn name(text: &BStr) -> String {
    quote(text, 80)
}
