//! Configuration dumps: read whole, checked, written anew in our own words, and
//! put into the core's configuration directory if it differs from what is
//! there.
//!
//! Nothing of the dump's text reaches the core. What a dump may say is listed
//! in `objects.rs` for Nagios and Naemon and in `shadow.rs` for livestatusd;
//! how the file is replaced and the core is told is in `directory.rs`.

mod command;
mod content;
mod directory;
mod memory;
mod objects;
mod shadow;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use ::objects::{DumpBegin, DumpMode, SiteId, UnixTime};
use aws_lc_rs::digest;
use bstr::{BString, ByteSlice};
use program::{Failure, Status};
use transfer::signature;
use transfer::{Claim, Entry, Kind, Ledger, Outcome, Owners, Turn};

use crate::cli::{self, Backend};
use crate::input::Input;
use crate::pattern::Pattern;
use crate::run::{self, ledger_directory, ledger_failure};
use crate::source;
use content::Content;
use directory::{Commands, Directory, Reload};

/// Takes in a configuration dump.
pub(crate) fn import(
    args: &cli::Import,
    site: Option<&SiteId>,
    mut input: Input,
) -> Result<Status, Failure> {
    let directory = config_dir(args)?;
    let read = read_whole(&mut input, args.reading.max_bytes).and_then(|text| {
        let begin = nagios::frame::check(&text).map_err(|error| refuse(&input, error))?;
        Ok((text, begin))
    });
    let (text, begin) = read.inspect_err(|failure| {
        if let Some(site) = site {
            run::remember_refusal(args, site, Kind::Configuration, failure);
        }
    })?;
    let site = match (site, &begin) {
        (Some(site), _) => site.clone(),
        (None, Some((begin, _))) => begin.site.clone(),
        (None, None) => {
            let what = format!("{}: it does not say which site it is from", input.name);
            return Err(Failure::new(Status::Failed, what));
        }
    };
    let ledger = Ledger::open(ledger_directory(args.ledger.as_ref())).map_err(ledger_failure)?;
    let mut turn = ledger
        .turn(&site, Kind::Configuration, args.wait)
        .map_err(ledger_failure)?;
    let taking = Taking {
        args,
        directory,
        ledger: &ledger,
        site,
        text: &text,
        begin: begin.map(|(begin, _)| begin),
    };
    let result = taking.take(&input, &mut turn);
    if let Err(failure) = &result
        && failure.status() != Status::TryAgain
        && !args.dry_run
    {
        let why = program::exit::chain(failure);
        turn.refuse(now(), &why).map_err(ledger_failure)?;
    }
    if args.dry_run {
        return result;
    }
    result?;
    // The configuration may be in force already, and its reload still be due.
    if let Reload::Later(pause) = settle(args)? {
        eprintln!(
            "liveload: the next import in {} s or later reloads the core, or: liveload --reload-pending",
            pause.as_secs() + 1
        );
    }
    Ok(Status::Done)
}

/// Does what is due in the configuration directory: puts right what a crash
/// left, and runs the reload that was too early. What is still too early is
/// nothing to talk about.
pub(crate) fn finish(args: &cli::Import) -> Result<Status, Failure> {
    settle(args).map(|_| Status::Done)
}

fn settle(args: &cli::Import) -> Result<Reload, Failure> {
    let directory = Directory::open(config_dir(args)?, commands(args))?;
    let reload = directory.reload_if_due()?;
    match reload {
        Reload::Done if args.verbose => println!("reloaded"),
        Reload::NoCommand if args.verbose => println!("not reloaded: there is no --reload-command"),
        _ => {}
    }
    Ok(reload)
}

fn commands(args: &cli::Import) -> Commands {
    let given = &args.configuration;
    Commands {
        check: given.check_command.clone(),
        reload: given.reload_command.clone(),
        reload_interval: given.reload_interval,
        limit: given.command_timeout,
    }
}

fn config_dir(args: &cli::Import) -> Result<&Path, Failure> {
    let what = "where do configurations go? Give the core's directory with --config-dir";
    let given = args.configuration.config_dir.as_deref();
    given.ok_or_else(|| Failure::new(Status::Usage, what))
}

fn now() -> UnixTime {
    UnixTime::from(SystemTime::now())
}

fn refuse(input: &Input, why: impl std::fmt::Display) -> Failure {
    Failure::new(Status::Failed, format!("{}:{why}", input.name))
}

/// Reads all of it, without a byte order mark and without CR before LF.
fn read_whole(input: &mut Input, limit: u64) -> Result<Vec<u8>, Failure> {
    let read = transfer::read_whole(&mut input.reader, limit);
    let mut text = read.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => input.refuse(&error.to_string()),
        _ => Failure::caused(Status::Failed, &input.name, error),
    })?;
    if text.contains_str("\r\n") {
        text = text.replace("\r\n", "\n");
    }
    // Where signatures are not asked for, they are passed over.
    let last = text.trim_end_with(|c| c == '\n').rfind_byte(b'\n');
    let last = last.map_or(0, |at| at + 1);
    if signature::is_signature(&text[last..]) {
        text.truncate(last);
    }
    Ok(text)
}

/// One dump on its way into the directory.
struct Taking<'a> {
    args: &'a cli::Import,
    directory: &'a Path,
    ledger: &'a Ledger,
    site: SiteId,
    text: &'a [u8],
    begin: Option<DumpBegin>,
}

impl Taking<'_> {
    fn take(&self, input: &Input, turn: &mut Turn) -> Result<Status, Failure> {
        self.check_frame(input, turn)?;
        let content = self.read().map_err(|why| refuse(input, why))?;
        self.check_hosts(&content)
            .map_err(|why| input.refuse(&why))?;
        if self.args.dry_run {
            let present = Content::present(self.directory, &content.file)?;
            self.check_place(&content, &present)
                .map_err(|why| input.refuse(&why))?;
            self.report(&content, &present, "would be taken in");
            return Ok(Status::Done);
        }
        let directory = Directory::open(self.directory, commands(self.args))?;
        let present = Content::present(self.directory, &content.file)?;
        if present.bytes == content.bytes {
            self.remember(&content, turn)?;
            self.report(&content, &present, "unchanged");
            return Ok(Status::Done);
        }
        self.check_place(&content, &present)
            .map_err(|why| input.refuse(&why))?;
        self.claim(&content, input)?;
        directory.install(&content.file, &content.bytes)?;
        self.remember(&content, turn)?;
        self.report(&content, &present, "taken in");
        Ok(Status::Done)
    }

    fn check_frame(&self, input: &Input, turn: &Turn) -> Result<(), Failure> {
        let reading = &self.args.reading;
        let Some(begin) = &self.begin else {
            if reading.allow_unmarked {
                eprintln!(
                    "liveload: {}: no marks: nobody can tell whether it is whole",
                    input.name
                );
                return Ok(());
            }
            let what = "no marks say what it is and that it is whole: --allow-unmarked takes it";
            return Err(input.refuse(what));
        };
        if begin.mode != DumpMode::Full {
            return Err(input.refuse("a configuration is taken whole, this is only what changed"));
        }
        source::check_order(self.args, turn, begin)
    }

    fn read(&self) -> Result<Content, String> {
        let shadow = shadow::is_shadow(self.text);
        let to_livestatusd = self.args.way.backend == Backend::Livestatusd;
        match (to_livestatusd, shadow) {
            (true, true) => shadow::read(self.text, &self.site, &self.args.reading.prefix),
            (false, false) => objects::read(self.text, &self.site, self.args),
            (true, false) => Err(" livestatusd takes the configurations of cmcdump -C".to_owned()),
            (false, true) => {
                Err(" this core takes the configurations of livedump -C, not of cmcdump".to_owned())
            }
        }
    }

    /// Whether the site may have those hosts.
    fn check_hosts(&self, content: &Content) -> Result<(), String> {
        let prefix = self.args.reading.prefix.as_bytes();
        let allowed = &self.args.reading.allow_hosts;
        let allowed: Vec<_> = allowed.iter().map(|text| Pattern::new(text)).collect();
        let refused: Vec<_> = content
            .hosts
            .iter()
            .filter(|name| {
                let own = name.strip_prefix(prefix).unwrap_or(name);
                !allowed.is_empty() && !allowed.iter().any(|pattern| pattern.matches(own))
            })
            .collect();
        match refused.first() {
            None => Ok(()),
            Some(name) => Err(format!(
                "host {:?}: site {} may not have it{}",
                name.as_bstr(),
                self.site,
                and_more(refused.len() - 1)
            )),
        }
    }

    /// Whether it fits beside the other files, and is not too much smaller than
    /// what it replaces.
    fn check_place(&self, content: &Content, present: &Content) -> Result<(), String> {
        content.check_clashes(self.directory, &self.site)?;
        let lost: BTreeSet<_> = present.hosts.difference(&content.hosts).collect();
        let given = &self.args.configuration;
        if given.allow_shrink || !is_too_much(lost.len(), present.hosts.len(), given.max_shrink) {
            return Ok(());
        }
        let first = lost.first().expect("too many are lost, so one is");
        Err(format!(
            "site {} would lose {} of its {} hosts, {:?} the first of them: --allow-shrink if that is right",
            self.site,
            lost.len(),
            present.hosts.len(),
            first.as_bstr()
        ))
    }

    /// Where all sites stand side by side, a host that one has no other gets.
    fn claim(&self, content: &Content, input: &Input) -> Result<(), Failure> {
        if self.args.way.backend == Backend::Livestatusd {
            return Ok(());
        }
        let mut owners =
            Owners::open(self.ledger.directory(), &self.site).map_err(ledger_failure)?;
        for host in &content.hosts {
            if let Claim::Of(other) = owners.claim(host).map_err(ledger_failure)? {
                return Err(input.refuse(&format!(
                    "host {:?}: site {} and site {other} both have it, and {other} had it first",
                    host.as_bstr(),
                    self.site
                )));
            }
        }
        Ok(())
    }

    fn remember(&self, content: &Content, turn: &mut Turn) -> Result<(), Failure> {
        let before = turn.entry();
        let mut entry = Entry {
            taken: now(),
            complete_taken: now(),
            outcome: Outcome::Complete,
            hosts: content.hosts.len() as u64,
            services: content.services,
            config_hash: hash(self.text),
            ..before.clone()
        };
        if let Some(begin) = &self.begin {
            entry.dump_time = begin.time;
            entry.complete_dump_time = begin.time;
            // An older one that was taken on purpose does not make those
            // between older than they are.
            (entry.epoch, entry.sequence) =
                (begin.epoch, begin.sequence).max((before.epoch, before.sequence));
        }
        entry.dumps_refused = 0;
        entry.dump_refused_why.clear();
        turn.store(entry).map_err(ledger_failure)
    }

    fn report(&self, content: &Content, present: &Content, what: &str) {
        if !self.args.verbose && !self.args.dry_run {
            return;
        }
        println!(
            "{}: configuration {what}: {} hosts, {} services, {} hosts new, {} gone",
            self.site,
            content.hosts.len(),
            content.services,
            content.hosts.difference(&present.hosts).count(),
            present.hosts.difference(&content.hosts).count()
        );
    }
}

/// Whether so many of so many are more than the part that may go, or all. A few
/// may always go: a site of three hosts loses a third with one.
fn is_too_much(lost: usize, had: usize, percent: u8) -> bool {
    const FEW: usize = 3;
    let all = lost > 0 && lost == had;
    all || (lost > FEW && lost * 100 > had * usize::from(percent))
}

fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(", nor {more} others"),
    }
}

/// SHA-256 in hexadecimal, as a state dump names the configuration it is for.
fn hash(text: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, text);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Host names that are in a file now.
type Hosts = BTreeSet<BString>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_does_not_lose_many_hosts_at_once() {
        for (lost, had, want) in [
            (0, 0, false),
            (0, 10, false),
            (1, 3, false),
            (2, 3, false),
            // All of them is never a coincidence.
            (1, 1, true),
            (3, 3, true),
            (3, 10, false),
            (4, 10, true),
            (30, 100, false),
            (31, 100, true),
            (50, 100, true),
        ] {
            assert_eq!(is_too_much(lost, had, 30), want, "{lost} of {had}");
        }
    }
}
