//! States: read, checked and written anew, record by record.
//!
//! | what comes | what happens | exit |
//! |---|---|---|
//! | a dump with its marks | handed on; the receiver's answer counts | 0 |
//! | a dump that is cut, or with a line that is none | handed on without its end mark | 3 |
//! | a dump that is older | nothing | 3 |
//! | a dump from another site, or without marks | nothing | 1 |

use std::io::{self, Read, Write};
use std::time::SystemTime;

use livestatus::dump::{DumpReader, DumpWriter, Item, Layout, Record};
use objects::{DumpBegin, DumpContent, DumpMode, SiteId, UnixTime};
use program::{Failure, Status};
use transfer::{Entry, Kind, Ledger, Outcome, Turn};

use crate::cli::Args;
use crate::input::{self, Input};
use crate::receiver::Receiver;
use crate::run;

/// How much is gathered before it is sent.
const PIECE: usize = 1 << 16;

/// Takes in the dumps of a stream, one after the other.
pub(crate) fn import(args: &Args, mut input: Input) -> Result<Status, Failure> {
    let ledger = input::open_ledger(args)?;
    let layout = run::layout(args)?;
    let mut reader = DumpReader::new();
    let mut import = None::<Import>;
    let mut status = None;
    let mut buffer = vec![0; PIECE];
    loop {
        let count = match input.reader.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                if let Some(import) = import.take() {
                    import.end(Err(error.to_string()))?;
                    return Err(Failure::caused(Status::Incomplete, input.name, error));
                }
                return Err(Failure::caused(Status::Failed, input.name, error));
            }
        };
        if count == 0 {
            reader.finish();
        }
        reader.push(&buffer[..count]);
        while let Some(item) = reader.poll_item() {
            match (item, import.as_mut()) {
                (Item::Begin(begin), _) => {
                    import = Some(Import::begin(args, &layout, ledger.as_ref(), *begin)?);
                }
                (Item::Record(record), Some(import)) => import.record(&record)?,
                (Item::Record(record), None) => {
                    let mut unmarked = Import::unmarked(args, &layout)?;
                    unmarked.record(&record)?;
                    import = Some(unmarked);
                }
                (Item::Refused(error), Some(import)) => import.refuse(&error),
                // Cut off in its first line.
                (Item::Refused(_), None) if count == 0 => {}
                (Item::Refused(error), None) => {
                    let what = format!("{}: this is not a dump", input.name);
                    return Err(Failure::caused(Status::Failed, what, error));
                }
                (Item::End(end), _) => {
                    if let Some(import) = import.take() {
                        let end = end.map(drop).map_err(|why| why.to_string());
                        status = Some(worse(status, import.end(end)?));
                    }
                }
            }
        }
        if count == 0 {
            break;
        }
    }
    match (import, status) {
        (Some(unmarked), _) => {
            let why = "the dump has no marks, so nobody knows whether it is complete";
            unmarked.end(Err(why.to_owned()))
        }
        (None, Some(status)) => Ok(status),
        (None, None) => Err(Failure::new(
            Status::Incomplete,
            format!("{}: the stream ended before a dump began", input.name),
        )),
    }
}

fn worse(before: Option<Status>, now: Status) -> Status {
    match before {
        Some(before) if before.code() > now.code() => before,
        _ => now,
    }
}

/// A dump that has begun.
struct Import {
    begin: Option<DumpBegin>,
    turn: Option<Turn>,
    /// `None`: the dump has ended.
    writer: Option<DumpWriter>,
    /// `None`: it is only read.
    receiver: Option<Receiver>,
    out: Vec<u8>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hosts: u64,
    services: u64,
    others: u64,
    refused: u64,
    refused_why: String,
}

impl Import {
    fn begin(
        args: &Args,
        layout: &Layout,
        ledger: Option<&Ledger>,
        begin: DumpBegin,
    ) -> Result<Self, Failure> {
        let turn = match ledger.filter(|_| !args.verify) {
            None => None,
            Some(ledger) => {
                let turn = ledger.turn(&begin.site, Kind::State, args.reading.wait);
                Some(turn.map_err(input::refusal)?)
            }
        };
        let mut import = Self::new(args, layout.clone(), &begin, turn)?;
        if let Err(failure) = import.check(args, &begin) {
            input::refuse(import.turn.as_mut(), &failure)?;
            return Err(failure);
        }
        import.connect(args)?;
        import.begin = Some(begin);
        Ok(import)
    }

    fn check(&self, args: &Args, begin: &DumpBegin) -> Result<(), Failure> {
        input::check(args, begin, self.turn.as_ref())?;
        match (&self.turn, begin.mode) {
            (Some(turn), DumpMode::Delta { base }) if !turn.entry().is_base(begin.epoch, base) => {
                Err(Failure::new(
                    Status::Incomplete,
                    format!(
                        "the dump builds upon sequence {base}, which is not the last complete one here"
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// A dump without a frame goes on without one.
    fn unmarked(args: &Args, layout: &Layout) -> Result<Self, Failure> {
        if !args.reading.allow_unmarked {
            return Err(Failure::new(
                Status::Failed,
                "the dump has no begin mark, so nobody would know whether it is complete; \
                 --allow-unmarked takes such dumps",
            ));
        }
        let site = args.site.clone().or_else(|| SiteId::new("unmarked").ok());
        let site = site.ok_or_else(|| Failure::new(Status::Usage, "which site is this?"))?;
        let begin = DumpBegin {
            site,
            content: DumpContent::State,
            epoch: 0,
            sequence: 0,
            mode: DumpMode::Full,
            time: UnixTime::from(SystemTime::now()),
            config_hash: None,
        };
        let mut import = Self::new(args, layout.clone().without_frame(), &begin, None)?;
        import.connect(args)?;
        Ok(import)
    }

    fn new(
        args: &Args,
        layout: Layout,
        begin: &DumpBegin,
        turn: Option<Turn>,
    ) -> Result<Self, Failure> {
        if !args.verify && !layout.has_frame() && matches!(begin.mode, DumpMode::Delta { .. }) {
            let what = "a delta needs a frame, which the map does without";
            return Err(Failure::new(Status::Failed, what));
        }
        let mut out = Vec::with_capacity(2 * PIECE);
        Ok(Self {
            begin: None,
            turn,
            writer: Some(DumpWriter::begin_as(begin, layout, &mut out)),
            receiver: None,
            out,
            counts: Counts::default(),
        })
    }

    fn connect(&mut self, args: &Args) -> Result<(), Failure> {
        if !args.verify {
            let address = run::socket(args)?;
            self.receiver = Some(Receiver::connect(&address, &args.tls, args.timeout)?);
        }
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<(), Failure> {
        match record {
            Record::Host { .. } => self.counts.hosts += 1,
            Record::Service { .. } => self.counts.services += 1,
            _ => self.counts.others += 1,
        }
        let writer = self.writer.as_mut();
        if let Some(Err(error)) = writer.map(|writer| writer.record(record, &mut self.out)) {
            self.refuse(&error);
        }
        if self.out.len() >= PIECE {
            self.flush()?;
        }
        Ok(())
    }

    fn refuse(&mut self, error: &livestatus::Error) {
        self.counts.refused += 1;
        if self.counts.refused == 1 {
            self.counts.refused_why = error.to_string();
            eprintln!("cmcload: refused a line: {error}");
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if let Some(receiver) = &mut self.receiver {
            receiver.send(&self.out)?;
        }
        self.out.clear();
        Ok(())
    }

    /// The dump has ended, and how.
    fn end(mut self, end: Result<(), String>) -> Result<Status, Failure> {
        let is_marked = self.begin.is_some();
        let end = end.and_then(|()| match self.counts.refused {
            0 => Ok(()),
            refused => Err(format!("{refused} lines were refused")),
        });
        if let Some(writer) = self.writer.take().filter(|_| end.is_ok()) {
            writer.end(&mut self.out);
        }
        self.flush()?;
        let verdict = match self.receiver.take() {
            None => self.verified(&end)?,
            Some(receiver) => {
                let is_deaf = receiver.is_deaf();
                let answer = receiver.finish()?;
                self.reported(&end, answer.trim_end(), is_deaf)?
            }
        };
        let outcome = match (&end, verdict) {
            (Ok(()), Status::Done) => Outcome::Complete,
            (Ok(()), _) => Outcome::Incomplete("the receiver has not taken all of it".to_owned()),
            (Err(why), _) => Outcome::Incomplete(why.clone()),
        };
        let was_refused = verdict == Status::Failed || verdict == Status::TryAgain;
        if let Some(begin) = self.begin.take().filter(|_| !was_refused) {
            let counts = std::mem::take(&mut self.counts);
            self.remember(|entry, now| note(entry, &begin, outcome, counts, now))?;
        }
        Ok(match end {
            Err(why) => {
                eprintln!("cmcload: incomplete: {why}");
                // Who allows dumps without marks knows that.
                if is_marked || verdict != Status::Done {
                    worse(Some(verdict), Status::Incomplete)
                } else {
                    Status::Done
                }
            }
            Ok(()) => verdict,
        })
    }

    /// Says what was in it.
    fn verified(&self, end: &Result<(), String>) -> Result<Status, Failure> {
        let Counts {
            hosts,
            services,
            others,
            refused,
            ..
        } = self.counts;
        let whole = if end.is_ok() {
            "complete"
        } else {
            "incomplete"
        };
        let what = match &self.begin {
            None => "no marks".to_owned(),
            Some(begin) => {
                let mode = match begin.mode {
                    DumpMode::Full => "full".to_owned(),
                    DumpMode::Delta { base } => format!("delta upon {base}"),
                };
                format!(
                    "site {}, epoch {}, sequence {}, {mode}, {whole}",
                    begin.site, begin.epoch, begin.sequence
                )
            }
        };
        say(&format!(
            "{what}: {hosts} hosts, {services} services, {others} other records, refused {refused}\n"
        ))?;
        Ok(Status::Done)
    }

    /// Hands on what the receiver said.
    fn reported(
        &self,
        end: &Result<(), String>,
        answer: &str,
        is_deaf: bool,
    ) -> Result<Status, Failure> {
        if answer.is_empty() && is_deaf {
            eprintln!("cmcload: the receiver closed the connection before the dump ended");
            return Ok(Status::Incomplete);
        }
        if answer.is_empty() {
            let sent = self.counts.hosts + self.counts.services + self.counts.others;
            let refused = self.counts.refused;
            let word = if end.is_ok() {
                "sent"
            } else {
                "incomplete: sent"
            };
            say(&format!("{word} {sent}, refused {refused}\n"))?;
            return Ok(Status::Done);
        }
        say(&format!("{answer}\n"))?;
        let last = answer.lines().last().unwrap_or_default();
        Ok(if last.starts_with("taken ") {
            Status::Done
        } else if ["incomplete", "refused: older", "refused: it builds upon"]
            .iter()
            .any(|beginning| last.starts_with(beginning))
        {
            Status::Incomplete
        } else if last.starts_with("refused: another dump") {
            Status::TryAgain
        } else {
            Status::Failed
        })
    }

    fn remember(&mut self, change: impl FnOnce(&mut Entry, UnixTime)) -> Result<(), Failure> {
        if let Some(turn) = &mut self.turn {
            let mut entry = turn.entry().clone();
            change(&mut entry, UnixTime::from(SystemTime::now()));
            turn.store(entry).map_err(input::refusal)?;
        }
        Ok(())
    }
}

/// What is remembered of a dump that came in.
fn note(entry: &mut Entry, begin: &DumpBegin, outcome: Outcome, counts: Counts, now: UnixTime) {
    entry.epoch = begin.epoch;
    entry.sequence = begin.sequence;
    entry.dump_time = begin.time;
    entry.taken = now;
    if outcome == Outcome::Complete {
        entry.complete_dump_time = begin.time;
        entry.complete_taken = now;
    }
    entry.outcome = outcome;
    entry.hosts = counts.hosts;
    entry.services = counts.services;
    entry.refused = counts.refused;
    entry.refused_why = counts.refused_why;
    entry.config_hash = begin.config_hash.clone().unwrap_or_default();
    entry.dumps_refused = 0;
}

fn say(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::silent(Status::Failed);
        }
        Failure::caused(Status::Failed, "cannot write to standard output", error)
    })
}
