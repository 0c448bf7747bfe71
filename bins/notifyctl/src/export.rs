//! `notifyctl export`: notifications as spool files of Checkmk, one each, named
//! by their id.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nagios::{KEYS, PLUGIN, SpoolFile};
use objects::notification::{Kind, MAX_BODY, to_utf8};
use objects::{Envelope, NotificationId, UnixTime};
use program::{Failure, Status};
use serde_json::json;
use spool::record::Event;
use spool::{DirectoryStorage, End, Options, Queue, SpoolDirectory};

use crate::cli::migration::Export;
use crate::listing::cannot_read;
use crate::place::Place;
use crate::run::line;

/// How many bodies are in memory at a time. The journal is read once for each
/// that many.
const BATCH: usize = 16_384;
/// As Checkmk makes its own: its group may read and remove them.
const MODE: u32 = 0o660;

pub(crate) fn export(
    args: &Export,
    place: &Place,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let mut store = match args.drop {
        true => Some(Store::open(&place.spool)?),
        false => None,
    };
    let wanted = wanted(args, &place.spool)?;
    let mut dropped_in = dropped_in(&place.spool);
    let mut failed = 0_u64;
    for ids in wanted.chunks(BATCH) {
        let mut histories = spool::history::of_each(&place.spool, ids).map_err(cannot_read)?;
        let mut written = Vec::new();
        for id in ids {
            let history = histories.remove(id).unwrap_or_default();
            let exported = match found(&history).or_else(|| dropped_in.remove(id)) {
                Some(found) => write(args, *id, &found).map(|()| found),
                None => Err("not known here, or its records are gone already".to_owned()),
            };
            failed += u64::from(exported.is_err());
            tell(json, out, *id, exported.as_ref().err())?;
            written.extend(exported.ok().map(|found| (*id, found)));
        }
        if let Some(store) = &mut store {
            store.drop(&written, &args.directory)?;
        }
    }
    match failed {
        0 => Ok(Status::Done),
        _ => {
            let what = format!("{failed} of {} are not exported", wanted.len());
            Err(Failure::new(Status::Failed, what))
        }
    }
}

/// The ids that were asked for, each once.
fn wanted(args: &Export, spool: &Path) -> Result<Vec<NotificationId>, Failure> {
    let mut ids = Vec::new();
    if args.all {
        let messages = spool::history::snapshot(spool).map_err(cannot_read)?.open;
        ids.extend(messages.iter().map(|message| message.id));
        // In the order of the ids, which is that of their making.
        let mut dropped: Vec<_> = dropped_in(spool).into_keys().collect();
        dropped.sort_unstable();
        ids.extend(dropped);
    }
    for text in &args.ids {
        let Some(id) = NotificationId::parse(text) else {
            let what = format!("{text:?} is not the id of a notification");
            return Err(Failure::new(Status::Usage, what));
        };
        ids.push(id);
    }
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(*id));
    Ok(ids)
}

/// A notification that is here.
struct Found {
    body: Vec<u8>,
    /// Whether it was submitted here, and not sent by a peer.
    own: bool,
    /// Where it lies, if notifyd has not taken it in yet.
    file: Option<PathBuf>,
}

fn found(history: &[(UnixTime, Event<'static>)]) -> Option<Found> {
    history.iter().find_map(|(_, event)| match event {
        Event::Accepted { from, body, .. } => Some(Found {
            body: body.to_vec(),
            own: from.is_none(),
            file: None,
        }),
        _ => None,
    })
}

/// What lies in the drop box.
fn dropped_in(spool: &Path) -> HashMap<NotificationId, Found> {
    let files = fs::read_dir(spool.join("new")).into_iter().flatten();
    let mut all = HashMap::new();
    for file in files.flatten().map(|file| file.path()) {
        let regular = file.symlink_metadata();
        if !regular.is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_BODY as u64) {
            continue;
        }
        // notifyd may take it away in this moment; then it is in the journal.
        let Ok(body) = fs::read(&file) else { continue };
        let Ok(id) = Envelope::parse(&to_utf8(&body)).map(|envelope| envelope.id) else {
            continue;
        };
        let (own, file) = (true, Some(file));
        all.insert(id, Found { body, own, file });
    }
    all
}

/// Writes the file, durably, unless it is there already.
fn write(args: &Export, id: NotificationId, found: &Found) -> Result<(), String> {
    let mut bytes = Vec::new();
    spool_file(found, args.forward)?.print(&mut bytes);
    let path = args.directory.join(id.to_string());
    match fs::read(&path) {
        Ok(there) if there == bytes => return Ok(()),
        Ok(_) => return Err(format!("{} is there, and is another", path.display())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(format!("cannot read {}: {error}", path.display()));
        }
        Err(_) => {}
    }
    program::file::replace(&path, MODE, |out| out.write_all(&bytes))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn spool_file(found: &Found, forward: bool) -> Result<SpoolFile, String> {
    let text = to_utf8(&found.body);
    let (kind, mut context) = Envelope::parse(&text)
        .and_then(|envelope| Ok((envelope.context()?, envelope.kind)))
        .map(|(context, kind)| (kind, context))
        .map_err(|error| program::exit::chain(&error))?;
    // What a peer says must not choose a plugin and its parameters here.
    if found.own
        && let Some(file) = SpoolFile::of_notification(&context)
    {
        return Ok(file);
    }
    if kind != Kind::Raw {
        return Err(format!("is a {}: Checkmk has nothing like it", kind.word()));
    }
    for name in [KEYS, PLUGIN] {
        context.remove(name);
    }
    Ok(match forward {
        true => SpoolFile::forward(context),
        false => SpoolFile::raw(context),
    })
}

fn tell(
    json: bool,
    out: &mut dyn Write,
    id: NotificationId,
    failure: Option<&String>,
) -> Result<(), Failure> {
    if json {
        let outcome = if failure.is_none() {
            "written"
        } else {
            "failed"
        };
        let text = json!({"id": id.to_string(), "outcome": outcome, "reason": failure});
        return line(out, &text.to_string());
    }
    match failure {
        None => line(out, &format!("{id}  written")),
        Some(why) => line(out, &format!("{id}  failed: {why}")),
    }
}

/// The spool, owned by this process, so that nothing that is written elsewhere
/// is delivered at the same time.
struct Store {
    _directory: SpoolDirectory,
    queue: Queue<DirectoryStorage>,
}

impl Store {
    fn open(spool: &Path) -> Result<Self, Failure> {
        let failed = |error: spool::Error| {
            let what = "cannot drop what is exported";
            Failure::caused(Status::TryAgain, what, error)
        };
        if !spool.is_dir() {
            let what = format!("there is no spool at {}", spool.display());
            return Err(Failure::new(Status::Failed, what));
        }
        let directory = SpoolDirectory::open(spool).map_err(failed)?;
        let journal = directory.journal().map_err(failed)?;
        let (queue, recovery) = Queue::recover(journal, Options::default()).map_err(failed)?;
        for damage in &recovery.damages {
            directory.set_aside(damage).map_err(failed)?;
        }
        let _directory = directory;
        Ok(Self { _directory, queue })
    }

    /// Ends what is written, durably.
    fn drop(&mut self, written: &[(NotificationId, Found)], to: &Path) -> Result<(), Failure> {
        let now = SystemTime::now().into();
        let detail = format!("exported to {}", to.display());
        let failed = |error: spool::Error| {
            let what = "cannot record what is dropped";
            Failure::caused(Status::TryAgain, what, error)
        };
        for (id, found) in written {
            if found.file.is_some() {
                // It never reached notifyd, but has an end that can be traced.
                self.queue
                    .accept(*id, None, None, &found.body, now)
                    .map_err(failed)?;
            }
            self.queue.end(*id, End::Dropped, &detail, now);
        }
        self.queue.commit().map_err(failed)?;
        for file in written.iter().filter_map(|(_, found)| found.file.as_ref()) {
            // A file that stays is known by its id, and removed by notifyd.
            let _ = fs::remove_file(file);
        }
        Ok(())
    }
}
