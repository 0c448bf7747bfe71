//! One dump on its way in: from its begin mark to what is remembered of it.

use std::time::SystemTime;

use nagios::check_result::CheckResult;
use objects::{DumpBegin, DumpContent, DumpMode, SiteId, UnixTime};
use program::{Failure, Status};
use transfer::{Entry, Kind, Ledger, Order, Outcome, Owners, Turn};

use super::backend::{Backend, LateVerdict};
use super::command::Pipe;
use super::command_teller::CommandTeller;
use super::gate::{Gate, Verdict};
use super::known::Known;
use super::remark::Teller;
use super::remarks::Remarks;
use super::replay::Replay;
use super::roll::Roll;
use super::standing::Standing;
use super::way::{self, Way};
use crate::cli::{self, Backend as To};
use crate::pattern::Pattern;
use crate::run::{ledger_directory, ledger_failure};
use crate::source;

/// Refusals that are told one by one; the rest is counted.
const TOLD: u64 = 5;

/// A dump that has begun.
pub(crate) struct Session<'a> {
    args: &'a cli::Import,
    name: &'a str,
    ledger: Ledger,
    turn: Turn,
    begin: Option<Box<DumpBegin>>,
    gate: Gate,
    backend: Box<dyn Backend>,
    /// Where complete states go to a core that knows check results only.
    replay: Option<Replay>,
    /// Where acknowledgements and downtimes go there, too.
    remarks: Option<Remarks>,
    /// Whom the core was told of.
    roll: Option<Roll>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hosts: u64,
    services: u64,
    unknown: u64,
    refused: u64,
    refused_why: String,
}

impl Counts {
    fn all(&self) -> u64 {
        self.hosts + self.services + self.unknown + self.refused
    }
}

impl<'a> Session<'a> {
    /// Decides whether the dump may come at all, and makes ready for it.
    pub(crate) fn open(
        args: &'a cli::Import,
        site: Option<&SiteId>,
        name: &'a str,
        begin: Option<Box<DumpBegin>>,
    ) -> Result<Self, Failure> {
        let Some(site) = site.or(begin.as_ref().map(|begin| &begin.site)).cloned() else {
            let what = format!("{name}: it does not say which site it is from, so --site must");
            return Err(Failure::new(Status::Usage, what));
        };
        let ledger = open_ledger(args)?;
        let mut turn = ledger
            .turn(&site, Kind::State, args.wait)
            .map_err(ledger_failure)?;
        let now = UnixTime::from(SystemTime::now());
        let ready = check(args, &turn, begin.as_deref(), now).and_then(|()| {
            let way = Way {
                args: &args.way,
                tls: &args.tls,
                ledger: &ledger,
                site: &site,
                wait: args.wait,
                dry_run: args.dry_run,
            };
            let backend = way.open(begin.as_deref())?;
            let remarks = open_remarks(args, &ledger, &site, now)?;
            let roll = match args.dry_run {
                true => None,
                false => Some(Roll::create(ledger.file(&site, "objects"))?),
            };
            Ok((
                backend,
                remarks,
                roll,
                open_gate(args, &ledger, &site, now)?,
            ))
        });
        let (backend, remarks, roll, gate) = match ready {
            Ok(ready) => ready,
            Err(failure) => return Err(remember_refusal(args, &mut turn, name, failure)),
        };
        let is_replayed = args.states.full && args.way.backend != To::Livestatusd;
        let replay =
            is_replayed.then(|| Replay::open(ledger.file(&site, "replay"), args.way.core()));
        let mut session = Self {
            args,
            name,
            ledger,
            turn,
            begin,
            gate,
            backend,
            replay,
            remarks,
            roll,
            counts: Counts::default(),
        };
        session.remember(Outcome::Incomplete("the import broke off".to_owned()))?;
        Ok(session)
    }

    pub(crate) fn record(&mut self, mut record: CheckResult) -> Result<(), Failure> {
        if self.counts.all() >= self.args.reading.max_records {
            let what = format!("more than {} records", self.args.reading.max_records);
            return Err(self.broken(Failure::new(Status::Failed, what)));
        }
        self.note_late();
        match self.gate.pass(&mut record)? {
            Verdict::Refused(why) => self.refused(&why),
            Verdict::Unknown => self.counts.unknown += 1,
            Verdict::Pass => {
                let counter = match record.service_description {
                    Some(_) => &mut self.counts.services,
                    None => &mut self.counts.hosts,
                };
                *counter += 1;
                let results = match &mut self.replay {
                    Some(replay) => replay.results(&record, self.gate.known.as_ref()),
                    None => std::slice::from_ref(&record),
                };
                match self.backend.take(results) {
                    Ok(Ok(())) => {
                        if let (Some(remarks), Some(replay)) = (&mut self.remarks, &self.replay) {
                            remarks.note(&record, replay.is_new_spell);
                        }
                        if let Some(roll) = self.roll.as_mut().filter(|_| record.has_been_checked())
                        {
                            roll.add(&record)?;
                        }
                    }
                    Ok(Err(why)) => {
                        *counter -= 1;
                        self.refused(&why);
                    }
                    Err(failure) => return Err(self.broken(failure)),
                }
            }
        }
        Ok(())
    }

    /// Counts what the core said to records that were taken already.
    fn note_late(&mut self) {
        for late in self.backend.late() {
            match late.is_service {
                true => self.counts.services -= 1,
                false => self.counts.hosts -= 1,
            }
            match late.verdict {
                LateVerdict::Unknown => self.counts.unknown += 1,
                LateVerdict::Refused(why) => self.refused(&why),
            }
        }
    }

    pub(crate) fn refused(&mut self, why: &str) {
        self.counts.refused += 1;
        if self.counts.refused == 1 {
            why.clone_into(&mut self.counts.refused_why);
        }
        if self.counts.refused <= TOLD {
            eprintln!("liveload: {}: {why}", self.name);
        }
    }

    /// The dump is over, complete or not.
    pub(crate) fn end(mut self, end: Result<(), String>) -> Result<Status, Failure> {
        if let Err(failure) = self.backend.finish(end.is_ok()) {
            return Err(self.broken(failure));
        }
        self.note_late();
        let is_complete = end.is_ok();
        if let Some(replay) = self.replay.as_ref().filter(|_| !self.args.dry_run) {
            replay.store()?;
        }
        if let Some(remarks) = &mut self.remarks
            && let Err(failure) =
                remarks.finish(self.name, is_complete, &mut *self.backend, self.args.wait)
        {
            return Err(self.broken(failure));
        }
        let outcome = match &end {
            Ok(()) => Outcome::Complete,
            Err(why) => Outcome::Incomplete(why.clone()),
        };
        if let Some(roll) = self.roll.take().filter(|_| is_complete) {
            roll.commit()?;
        }
        self.remember(outcome)?;
        if is_complete {
            self.give_up_hosts()?;
        }
        self.report(&end);
        Ok(match is_complete && self.counts.refused == 0 {
            true => Status::Done,
            false => Status::Incomplete,
        })
    }

    /// Hosts that the site has no longer are free for others, unless its
    /// configuration says what it has.
    fn give_up_hosts(&mut self) -> Result<(), Failure> {
        let site = self.turn.site();
        let configured = self.ledger.read(site, Kind::Configuration);
        if self.args.dry_run || configured.map_err(ledger_failure)?.is_some() {
            return Ok(());
        }
        let Some(owners) = &mut self.gate.owners else {
            return Ok(());
        };
        let gone = owners.release_unclaimed().map_err(ledger_failure)?;
        if gone > 0 {
            let site = self.turn.site();
            eprintln!(
                "liveload: {}: {gone} hosts of site {site} came no more",
                self.name
            );
        }
        Ok(())
    }

    fn report(&self, end: &Result<(), String>) {
        let Counts {
            hosts,
            services,
            unknown,
            refused,
            ..
        } = self.counts;
        let mut line = String::new();
        if let Err(why) = end {
            line = format!("incomplete: {why}; ");
        }
        if self.args.verbose || end.is_err() || unknown + refused > 0 {
            let taken = hosts + services;
            eprintln!(
                "liveload: {}: {line}taken {taken}, unknown {unknown}, refused {refused}",
                self.name
            );
        }
    }

    /// Remembers that the import broke off for a reason of ours.
    fn broken(&mut self, failure: Failure) -> Failure {
        let why = program::exit::chain(&failure);
        if let Err(error) = self.remember(Outcome::Incomplete(why)) {
            eprintln!("liveload: {}", program::exit::chain(&error));
        }
        Failure::caused(failure.status(), self.name.to_owned(), failure)
    }

    fn remember(&mut self, outcome: Outcome) -> Result<(), Failure> {
        if self.args.dry_run {
            return Ok(());
        }
        let now = UnixTime::from(SystemTime::now());
        let mut entry = Entry {
            taken: now,
            hosts: self.counts.hosts,
            services: self.counts.services,
            unknown: self.counts.unknown,
            refused: self.counts.refused,
            refused_why: self.counts.refused_why.clone(),
            dumps_refused: 0,
            ..self.turn.entry().clone()
        };
        entry.dump_time = UnixTime::NEVER;
        if let Some(begin) = &self.begin {
            if entry.order(begin.epoch, begin.sequence) != Order::Older {
                (entry.epoch, entry.sequence) = (begin.epoch, begin.sequence);
            }
            entry.dump_time = begin.time;
            entry.config_hash = begin.config_hash.clone().unwrap_or_default();
        }
        if outcome == Outcome::Complete {
            entry.complete_taken = now;
            entry.complete_dump_time = entry.dump_time;
        }
        entry.outcome = outcome;
        self.turn.store(entry).map_err(ledger_failure)
    }
}

/// Remembers that the dump was refused whose turn it is.
fn remember_refusal(args: &cli::Import, turn: &mut Turn, name: &str, failure: Failure) -> Failure {
    if !args.dry_run {
        let now = UnixTime::from(SystemTime::now());
        if let Err(error) = turn.refuse(now, &program::exit::chain(&failure)) {
            eprintln!("liveload: {}", program::exit::chain(&ledger_failure(error)));
        }
    }
    Failure::caused(failure.status(), name.to_owned(), failure)
}

fn open_ledger(args: &cli::Import) -> Result<Ledger, Failure> {
    Ledger::open(ledger_directory(args.ledger.as_ref())).map_err(ledger_failure)
}

/// Whether the dump may come after what came before.
fn check(
    args: &cli::Import,
    turn: &Turn,
    begin: Option<&DumpBegin>,
    now: UnixTime,
) -> Result<(), Failure> {
    let Some(begin) = begin else {
        return Ok(());
    };
    let site = turn.site();
    if begin.content != DumpContent::State {
        return Err(Failure::new(Status::Failed, "it carries no states"));
    }
    source::check_order(args, turn, begin)?;
    if begin.mode != DumpMode::Full {
        let what = "it says only what has changed, which cmcload can hand to a livestatusd";
        return Err(Failure::new(Status::Incomplete, what));
    }
    if begin.site != *site {
        eprintln!(
            "liveload: a dump that says it is from site {} is taken for site {site}",
            begin.site
        );
    }
    let ahead = begin.time.secs() - now.secs();
    let skew = args.states.max_skew.as_secs();
    if ahead > 0 && ahead.unsigned_abs() > skew {
        eprintln!("liveload: the clock of site {site} is {ahead} s ahead of ours");
    }
    Ok(())
}

fn open_gate(
    args: &cli::Import,
    ledger: &Ledger,
    site: &SiteId,
    now: UnixTime,
) -> Result<Gate, Failure> {
    let patterns = args.reading.allow_hosts.iter();
    let known = match (&args.states.objects, &args.states.objects_socket) {
        (Some(path), _) => Some(Known::read(path)?),
        (None, Some(socket)) => Some(Known::ask(&way::server(socket.clone(), &args.tls)?)?),
        (None, None) => None,
    };
    // livestatusd tells sites apart, and each may have a localhost.
    let owners = match args.way.backend {
        To::Livestatusd => None,
        _ => Some(Owners::open(ledger.directory(), site).map_err(ledger_failure)?),
    };
    Ok(Gate {
        prefix: args.reading.prefix.clone(),
        allowed: patterns.map(|pattern| Pattern::new(pattern)).collect(),
        owners,
        known,
        now,
        max_skew: args.states.max_skew,
        on_skew: args.states.on_skew,
        dry_run: args.dry_run,
        site: site.clone(),
        last_host: None,
    })
}

fn open_remarks(
    args: &cli::Import,
    ledger: &Ledger,
    site: &SiteId,
    now: UnixTime,
) -> Result<Option<Remarks>, Failure> {
    if args.dry_run || !args.states.full {
        return Ok(None);
    }
    let teller: Option<Box<dyn Teller>> = match (&args.states.command_file, args.way.backend) {
        (_, To::Livestatusd) => return Ok(None),
        (_, To::Icinga2Api) => None,
        (Some(path), _) => {
            let pipe = Pipe::open(path, args.way.core)?;
            Some(Box::new(CommandTeller::new(pipe, standing(args)?)))
        }
        (None, _) => return Ok(None),
    };
    let memory = ledger.file(site, "remarks");
    Remarks::open(memory, site, teller, now).map(Some)
}

/// Where the core tells who has acknowledged what.
fn standing(args: &cli::Import) -> Result<Option<Standing>, Failure> {
    Ok(
        match (&args.states.status_file, &args.states.objects_socket) {
            (Some(path), _) => Some(Standing::File(path.clone())),
            (None, Some(socket)) => {
                let target = way::server(socket.clone(), &args.tls)?;
                Some(Standing::Livestatus(target))
            }
            (None, None) => None,
        },
    )
}
