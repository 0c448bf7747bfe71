//! From the command line to a file in the drop box.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use objects::notification::{Context, Error, Kind, MAX_CONTEXT, parse_context, to_utf8};
use objects::{Notification, NotificationId, SiteId, UnixTime};
use program::{Failure, Status};
use spool::drop_box;
use spool::submission::{self, Asked};

use crate::cli::Args;
use crate::context;

/// How long the daemon may take for its answer before the drop box is used.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let now = UnixTime::from(SystemTime::now());
    let site = site(args)?;
    let mut notification = Notification {
        id: args.id.unwrap_or_else(|| NotificationId::new(now)),
        kind: Kind::Raw,
        created: now,
        expires: None,
        context: gather(args, &site, now)?,
        site,
    };
    let id = notification.id;
    let body = notification.print_to_fit().map_err(unfit)?;
    if args.dry_run {
        return tell(&body);
    }
    submit(&spool(args), id, body.as_bytes())?;
    if !args.quiet {
        // It is stored: that nobody reads the id does not change it.
        let _ = tell(&format!("{id}\n"));
    }
    Ok(Status::Done)
}

fn gather(args: &Args, site: &SiteId, now: UnixTime) -> Result<Context, Failure> {
    let mut context = context::from_environment(std::env::vars_os().collect::<Vec<_>>());
    if args.stdin_json {
        context.append(&mut read_stdin()?);
    }
    let usage = |what| Failure::new(Status::Usage, what);
    context::add_arguments(&mut context, &args.variables).map_err(usage)?;
    context::complete(&mut context, site, now).map_err(usage)?;
    Ok(context)
}

fn read_stdin() -> Result<Context, Failure> {
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Failure::caused(Status::Failed, "cannot read standard input", cause)
    };
    let mut bytes = Vec::new();
    let mut limited = std::io::stdin().lock().take(MAX_CONTEXT as u64 + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(|error| failed(error.into()))?;
    parse_context(&to_utf8(&bytes)).map_err(|error| failed(error.into()))
}

fn site(args: &Args) -> Result<SiteId, Failure> {
    if let Some(site) = &args.site {
        return Ok(site.clone());
    }
    for name in ["SITEWIRE_SITE", "OMD_SITE"] {
        if let Some(site) = std::env::var_os(name) {
            let site = site.to_string_lossy();
            return SiteId::new(&site).map_err(|error| Failure::caused(Status::Usage, name, error));
        }
    }
    let what = "the site is not known: give --site SITE, or set SITEWIRE_SITE or OMD_SITE";
    Err(Failure::new(Status::Usage, what))
}

fn spool(args: &Args) -> PathBuf {
    if let Some(spool) = &args.spool {
        return spool.clone();
    }
    match std::env::var_os("OMD_ROOT") {
        Some(root) if !root.is_empty() => PathBuf::from(root).join("var/sitewire/spool"),
        _ => PathBuf::from("/var/spool/sitewire"),
    }
}

/// To the daemon, whose syncs are shared, or else to the drop box.
fn submit(spool: &Path, id: NotificationId, body: &[u8]) -> Result<(), Failure> {
    match submission::submit(spool, body, PATIENCE) {
        Asked::Submitted(_) => Ok(()),
        Asked::Refused(why) => Err(Failure::new(
            Status::Failed,
            format!("notification not accepted: {why}"),
        )),
        // Should the daemon have stored it without saying so, it knows the id.
        Asked::Unanswered => drop_box::submit(spool, id, body)
            .map(drop)
            .map_err(not_accepted),
    }
}

fn unfit(error: Error) -> Failure {
    Failure::caused(Status::Failed, "notification not accepted", error)
}

fn not_accepted(error: spool::Error) -> Failure {
    let status = if error.is_temporary() {
        Status::TryAgain
    } else {
        Status::Failed
    };
    Failure::caused(status, "notification not accepted", error)
}

fn tell(text: &str) -> Result<Status, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(Status::Done),
        Err(_) => Err(Failure::silent(Status::Failed)),
    }
}
