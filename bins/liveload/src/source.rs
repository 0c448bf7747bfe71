//! What a dump came in: a mail, a compressed stream, a signature. What is
//! behind all that is an [`Input`] like any other.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::time::SystemTime;

use objects::{DumpBegin, SiteId, UnixTime};
use program::{Failure, Status};
use transfer::signature::{self, Trust};
use transfer::{Kind, Ledger, Order, Outcome, Turn, compress};

use crate::cli;
use crate::input::Input;
use crate::mail;
use crate::mark::{self, Mark};
use crate::quoted::Quoted;
use crate::run::{self, ledger_directory, ledger_failure};

/// A dump, and the site that it is from as far as the receiver knows that.
pub(crate) struct Source {
    pub(crate) input: Input,
    /// `None`: the dump's word counts.
    pub(crate) site: Option<SiteId>,
}

/// Opens what `from` has. With `--require-signature` nothing of it is seen by
/// anybody before its signature is right.
pub(crate) fn open(
    args: &cli::Import,
    name: &str,
    from: impl Read + 'static,
) -> Result<Source, Failure> {
    let from: Box<dyn Read> = match args.inbox.mail {
        true => Box::new(Cursor::new(mail::dump(name, from)?)),
        false if args.reading.decode == Some(cli::Encoding::Qp) => Box::new(Quoted::new(from)),
        false => Box::new(from),
    };
    let unreadable = |error| Failure::caused(Status::Failed, name, error);
    let dump = compress::open(from, args.reading.max_bytes).map_err(unreadable)?;
    let Some(trusted) = &args.signatures.require_signature else {
        return Ok(Source {
            input: Input::new(name, dump),
            site: args.site.clone(),
        });
    };
    let trust = Trust::load(trusted).map_err(ledger_failure)?;
    let ledger = Ledger::open(ledger_directory(args.ledger.as_ref())).map_err(ledger_failure)?;
    let mut dump = BufReader::new(dump);
    let mut head = Vec::new();
    let mut first = (&mut dump).take(mark::MAX_LINE);
    first.read_until(b'\n', &mut head).map_err(unreadable)?;
    // Where any site may come, the dump says whose signature it has.
    let mark = Mark::parse(&head);
    let kind = match &mark {
        Some(mark) if !mark.is_state => Kind::Configuration,
        _ => Kind::State,
    };
    let site = args.site.clone().or(mark.map(|mark| mark.site));
    let Some(site) = site else {
        let what = format!("{name}: it does not say which site it is from");
        return Err(Failure::new(Status::Failed, what));
    };
    let signed = trust
        .receive(Cursor::new(head).chain(dump), &site, ledger.directory())
        .map_err(|error| {
            let failure = ledger_failure(error);
            let what = format!("{name}: {}", program::exit::chain(&failure));
            let failure = Failure::new(failure.status(), what);
            run::remember_refusal(args, &site, kind, &failure);
            failure
        })?;
    Ok(Source {
        input: Input::new(name, signed),
        site: Some(site),
    })
}

/// Whether a dump may be taken in after what came before. A wire that others
/// can touch may bring a dump again, or late: where signatures are asked for,
/// one that was taken in whole is not taken again, nor one that is too old.
pub(crate) fn check_order(
    args: &cli::Import,
    turn: &Turn,
    begin: &DumpBegin,
) -> Result<(), Failure> {
    let order = turn.check_order(begin, args.reading.allow_older);
    let order = order.map_err(ledger_failure)?;
    if args.signatures.require_signature.is_none() {
        return Ok(());
    }
    let now = UnixTime::from(SystemTime::now());
    signature::check_age(begin, now, args.signatures.max_age).map_err(ledger_failure)?;
    if order == Order::Same && turn.entry().outcome == Outcome::Complete {
        return Err(ledger_failure(transfer::Error::Older {
            site: turn.site().clone(),
            came: (begin.epoch, begin.sequence),
            newest: (begin.epoch, begin.sequence),
        }));
    }
    Ok(())
}
