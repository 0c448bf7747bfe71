//! What is read: expanded, and where signatures are asked for only after the
//! signature was found right.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use objects::{DumpBegin, SiteId, UnixTime};
use program::{Failure, Status};
use transfer::{Kind, Ledger, Order, Outcome, Trust, Turn, signature};

use crate::cli::Args;

/// A dump as it comes in.
pub(crate) struct Input {
    /// How messages name it.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) reader: Box<dyn BufRead>,
}

/// Opens what the command line names.
pub(crate) fn open(args: &Args) -> Result<Input, Failure> {
    let (name, reader): (_, Box<dyn Read>) = match &args.file {
        None => {
            let name = "standard input".to_owned();
            let input = transfer::standard_input(args.idle_timeout);
            let input = input.map_err(|e| Failure::caused(Status::Failed, name.clone(), e))?;
            (name, Box::new(input))
        }
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(path);
            let file = file.map_err(|e| Failure::caused(Status::Failed, name.clone(), e))?;
            (name, Box::new(file))
        }
    };
    let failed = |error| Failure::caused(Status::Failed, name.clone(), error);
    let reader = transfer::open(reader, args.reading.max_bytes).map_err(failed)?;
    let (Some(trusted), Some(site)) = (&args.reading.require_signature, &args.site) else {
        let reader = Box::new(BufReader::with_capacity(1 << 16, reader));
        return Ok(Input { name, reader });
    };
    let trust = Trust::load(trusted).map_err(refusal)?;
    let ledger = open_ledger(args)?;
    let spool = ledger
        .as_ref()
        .map_or_else(std::env::temp_dir, |ledger| ledger.directory().to_owned());
    let mut dump = BufReader::new(reader);
    let head = dump.fill_buf().map_err(failed)?;
    let kind = kind(head);
    match trust.receive(dump, site, &spool) {
        Ok(signed) => Ok(Input {
            name,
            reader: Box::new(signed),
        }),
        Err(error) => {
            let failure = refusal(error);
            if let Some(ledger) = ledger.filter(|_| !args.verify) {
                let turn = ledger.turn(site, kind, args.reading.wait);
                refuse(Some(&mut turn.map_err(refusal)?), &failure)?;
            }
            Err(failure)
        }
    }
}

/// What a dump is that begins with `head`. A command is known by its first
/// letter, which no statement of a configuration begins with, and few bytes may
/// have come yet.
pub(crate) fn kind(head: &[u8]) -> Kind {
    match head.trim_ascii_start().first() {
        None | Some(b'C' | b'G') => Kind::State,
        Some(_) => Kind::Configuration,
    }
}

/// Remembers that a whole dump was refused.
pub(crate) fn refuse(turn: Option<&mut Turn>, failure: &Failure) -> Result<(), Failure> {
    let Some(turn) = turn else {
        return Ok(());
    };
    let now = UnixTime::from(std::time::SystemTime::now());
    let why = program::exit::chain(failure);
    turn.refuse(now, &why).map_err(refusal)
}

/// The memory of what came, if there is to be one.
pub(crate) fn open_ledger(args: &Args) -> Result<Option<Ledger>, Failure> {
    let directory = args.reading.ledger.as_ref();
    let ledger = directory.map(|directory| Ledger::open(directory).map_err(refusal));
    ledger.transpose()
}

/// Whether a dump may come in: from whom it should be, and when its turn is.
pub(crate) fn check(args: &Args, begin: &DumpBegin, turn: Option<&Turn>) -> Result<(), Failure> {
    check_site(args.site.as_ref(), begin)?;
    if args.reading.require_signature.is_some() {
        let now = UnixTime::from(std::time::SystemTime::now());
        signature::check_age(begin, now, args.reading.max_age).map_err(refusal)?;
    }
    let Some(turn) = turn else {
        return Ok(());
    };
    let order = turn.check_order(begin, args.reading.allow_older);
    let order = order.map_err(refusal)?;
    let is_replay = order == Order::Same
        && args.reading.require_signature.is_some()
        && turn.entry().outcome == Outcome::Complete;
    if is_replay {
        let version = (begin.epoch, begin.sequence);
        return Err(refusal(transfer::Error::Older {
            site: turn.site().clone(),
            came: version,
            newest: version,
        }));
    }
    Ok(())
}

fn check_site(expected: Option<&SiteId>, begin: &DumpBegin) -> Result<(), Failure> {
    match expected {
        Some(site) if *site != begin.site => Err(Failure::new(
            Status::Failed,
            format!("the dump is from site {}, not from {site}", begin.site),
        )),
        _ => Ok(()),
    }
}

/// A failure of the receiving side's checks and memory.
pub(crate) fn refusal(error: transfer::Error) -> Failure {
    let status = match &error {
        transfer::Error::Older { .. } => Status::Incomplete,
        error if error.is_temporary() => Status::TryAgain,
        _ => Status::Failed,
    };
    Failure::new(status, program::exit::chain(&error))
}
