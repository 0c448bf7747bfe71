//! State dumps: taken in record by record, in bounded memory. A record is taken
//! whole or not at all; a dump without its end leaves the site incomplete.

mod backend;
mod command;
mod command_teller;
mod dump;
mod gate;
mod http;
mod icinga2;
mod ingest;
mod known;
mod process_file;
mod remark;
mod remarks;
mod replay;
mod roll;
mod session;
mod spool;
pub(crate) mod stale;
mod standing;
mod way;

use objects::SiteId;
use program::{Failure, Status};
use transfer::Kind;

use crate::cli;
use crate::input::{Format, Input};
use crate::run;
use dump::{Dump, Item};
use session::Session;

/// Takes in a dump of states. Without a site the dump's word counts.
pub(crate) fn import(
    args: &cli::Import,
    site: Option<&SiteId>,
    format: Format,
    input: Input,
) -> Result<Status, Failure> {
    let marked = !matches!(format, Format::CheckResults { marked: false });
    if !marked && !args.reading.allow_unmarked {
        let failure = input.refuse("it has no mark that says what it is (--allow-unmarked)");
        return Err(refuse(args, site, failure));
    }
    let name = input.name.clone();
    let unframed = match args.reading.unmarked_escapes {
        true => Some(args.way.core.of_files()),
        false => None,
    };
    let mut dump = Dump::new(input, format, unframed);
    let mut session = None;
    let mut worst = Status::Done;
    while let Some(item) = dump.poll_item() {
        match (item, &mut session) {
            (Item::Begin(begin), _) => session = Some(Session::open(args, site, &name, begin)?),
            (Item::End(end), _) => match session.take() {
                Some(session) => {
                    let status = session.end(end)?;
                    worst = if status.code() > worst.code() {
                        status
                    } else {
                        worst
                    };
                }
                None => {
                    let why = end.err().unwrap_or_default();
                    let failure = Failure::new(Status::Failed, format!("{name}: {why}"));
                    return Err(refuse(args, site, failure));
                }
            },
            (Item::Record(record), Some(session)) => session.record(*record)?,
            (Item::Refused(why), Some(session)) => session.refused(&why),
            (Item::Other | Item::Record(_) | Item::Refused(_), _) => {}
        }
    }
    Ok(worst)
}

fn refuse(args: &cli::Import, site: Option<&SiteId>, failure: Failure) -> Failure {
    if let Some(site) = site {
        run::remember_refusal(args, site, Kind::State, &failure);
    }
    failure
}
