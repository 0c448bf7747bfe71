//! Silent sites: the core keeps the last state of their objects for ever, and
//! looks as if nothing were wrong. Here it is told that nobody knows.
//!
//! What a site has, its last complete dump said. When the core was told last
//! stands in the ledger's file `SITE.stale`; it counts only while no complete
//! dump has come since. The site's turn is held meanwhile: a dump that comes
//! now is taken in after that, and ends it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nagios::check_result::CheckResult;
use objects::{SiteId, UnixTime};
use program::{Failure, Status, file};
use transfer::{Entry, Kind, Ledger};

use super::roll::{self, Object};
use super::way::Way;
use crate::cli::{self, Backend as To, Core, StaleObjects};
use crate::run::{ledger_directory, ledger_failure};

/// A silence that nobody has asked for another length of.
const USUAL: Duration = Duration::from_secs(600);
/// UNREACHABLE of hosts, UNKNOWN of services.
const CODES: (u8, u8) = (2, 3);

/// Looks after the sites that the command line names, or all.
pub(crate) fn run(args: &cli::Stale) -> Result<Status, Failure> {
    check(&args.way)?;
    let watch = Watch {
        ledger: open(args.ledger.as_ref())?,
        after: args.silence.stale_after.unwrap_or(USUAL),
        which: args.silence.stale_objects,
        way: &args.way,
        tls: &args.tls,
        wait: args.wait,
        dry_run: args.dry_run,
    };
    watch.look_after(&args.sites)
}

/// Looks after the sites of an inbox, if that is wanted.
pub(crate) fn run_beside(args: &cli::Import) -> Result<Status, Failure> {
    let Some(after) = args.silence.stale_after else {
        return Ok(Status::Done);
    };
    let watch = Watch {
        ledger: open(args.ledger.as_ref())?,
        after,
        which: args.silence.stale_objects,
        way: &args.way,
        tls: &args.tls,
        wait: Duration::ZERO,
        dry_run: args.dry_run,
    };
    watch.look_after(args.site.as_slice())
}

/// Whether the core is one that has to be told.
pub(crate) fn check(way: &cli::Way) -> Result<(), Failure> {
    if way.backend != To::Livestatusd {
        return Ok(());
    }
    let what = "livestatusd itself shows how old everything is (lq sites); \
                --backend livestatus tells it nevertheless";
    Err(Failure::new(Status::Usage, what))
}

fn open(directory: Option<&std::path::PathBuf>) -> Result<Ledger, Failure> {
    Ledger::open(ledger_directory(directory)).map_err(ledger_failure)
}

struct Watch<'a> {
    ledger: Ledger,
    after: Duration,
    which: StaleObjects,
    way: &'a cli::Way,
    tls: &'a cli::Tls,
    wait: Duration,
    dry_run: bool,
}

impl Watch<'_> {
    /// One site that cannot be told of now keeps no other from being told of.
    fn look_after(&self, sites: &[SiteId]) -> Result<Status, Failure> {
        let all = match sites {
            [] => self.ledger.sites().map_err(ledger_failure)?,
            sites => sites.to_vec(),
        };
        let mut worst = Ok(Status::Done);
        for site in all {
            if let Err(failure) = self.look_at(&site) {
                if let Err(before) = worst {
                    eprintln!("liveload: {}", program::exit::chain(&before));
                }
                worst = Err(failure);
            }
        }
        worst
    }

    fn look_at(&self, site: &SiteId) -> Result<(), Failure> {
        let now = UnixTime::from(SystemTime::now());
        let entry = self.ledger.read(site, Kind::State);
        let entry = entry.map_err(ledger_failure)?.unwrap_or_default();
        // Without its turn at first: an import of a site that is not silent
        // need not wait for us, nor we for it.
        if !self.is_due(site, &entry, now)? {
            return Ok(());
        }
        let turn = self.ledger.turn(site, Kind::State, self.wait);
        let turn = turn.map_err(ledger_failure)?;
        match turn.entry().silence(now) {
            Some(silence) if self.is_due(site, turn.entry(), now)? => self.tell(site, silence, now),
            _ => Ok(()),
        }
    }

    /// Whether the site is silent, and the core was not told of that lately.
    fn is_due(&self, site: &SiteId, entry: &Entry, now: UnixTime) -> Result<bool, Failure> {
        if entry
            .silence(now)
            .is_none_or(|silence| silence < self.after)
        {
            return Ok(false);
        }
        let told = self.told(&self.ledger.file(site, "stale"))?;
        let since = now.micros().saturating_sub(told.micros());
        let is_of_this_silence = told > entry.complete_taken && told <= now;
        Ok(!is_of_this_silence || i128::from(since) >= self.after.as_micros() as i128)
    }

    fn told(&self, path: &Path) -> Result<UnixTime, Failure> {
        match fs::read(path) {
            // What cannot be read was never told.
            Ok(text) => Ok(UnixTime::parse(text.trim_ascii()).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(UnixTime::NEVER),
            Err(error) => Err(file::failure(path, error)),
        }
    }

    fn tell(&self, site: &SiteId, silence: Duration, now: UnixTime) -> Result<(), Failure> {
        let way = Way {
            args: self.way,
            tls: self.tls,
            ledger: &self.ledger,
            site,
            wait: self.wait,
            dry_run: self.dry_run,
        };
        let mut backend = way.open(None)?;
        if !self.dry_run {
            // The core will not be where a replay has left it.
            forget(&self.ledger.file(site, "replay"))?;
        }
        let text = format!(
            "site {site} is silent: no complete dump has come for {}",
            words(silence)
        );
        let (mut told, mut refused) = (0_u64, 0_u64);
        let sent = roll::each(&self.ledger.file(site, "objects"), |object| {
            if !self.is_wanted(&object) {
                return Ok(());
            }
            match backend.take(&[self.result(object, &text, now)])? {
                Ok(()) => told += 1,
                Err(_) => refused += 1,
            }
            Ok(())
        });
        sent.and_then(|()| backend.finish(true))?;
        let late = backend.late().len() as u64;
        (told, refused) = (told.saturating_sub(late), refused + late);
        if !self.dry_run {
            let path = self.ledger.file(site, "stale");
            program::file::replace(&path, 0o600, |out| writeln!(out, "{now}"))
                .map_err(|error| file::failure(&path, error))?;
        }
        eprintln!("liveload: {text}; told the core of {told} objects, could not of {refused}");
        Ok(())
    }

    fn is_wanted(&self, object: &Object) -> bool {
        match self.which {
            StaleObjects::All => true,
            StaleObjects::Hosts => object.service_description.is_none(),
            StaleObjects::Services => object.service_description.is_some(),
        }
    }

    fn result(&self, object: Object, text: &str, now: UnixTime) -> CheckResult {
        let return_code = match object.service_description {
            None => CODES.0,
            Some(_) => CODES.1,
        };
        // Icinga 2 passes over what is older than what it has, and the next dump
        // may say of a check that it has not been made again.
        let time = match self.way.core() {
            Core::Icinga2 => object.last_check,
            Core::Nagios | Core::Naemon => now,
        };
        CheckResult {
            host_name: object.host_name,
            service_description: object.service_description,
            return_code,
            start_time: time,
            finish_time: time.max(now),
            plugin_output: text.into(),
            ..CheckResult::default()
        }
    }
}

fn forget(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file::failure(path, error)),
        _ => Ok(()),
    }
}

/// A length of time in the unit that says most.
fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
