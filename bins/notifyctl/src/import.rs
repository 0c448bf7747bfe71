//! `notifyctl import`: what waits in a spool of Checkmk is submitted here, each
//! file under the id that it always has, and told.
//!
//! A file is read, stored durably, noted in the [`Ledger`], and then removed if
//! that was asked for, in this order. So an import that was killed, or is
//! repeated for whatever reason, stores nothing twice and loses nothing.

mod ledger;
mod source;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use objects::{Notification, NotificationId, SiteId, UnixTime};
use program::{Failure, Status};
use serde_json::json;
use spool::drop_box;
use spool::submission::{self, Asked};

use self::ledger::Ledger;
use self::source::{Content, Source, event_time};
use crate::cli::migration::Import;
use crate::listing::object_of;
use crate::place::Place;
use crate::run::line;
use crate::words;

/// How much is submitted at once.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 4 << 20;
/// How long the daemon may take for its answers before the drop box is used.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn import(
    args: &Import,
    place: &Place,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let site = args.site.clone().or_else(|| place.site.clone());
    let sources = in_order(&args.directory, site.as_ref())?;
    let ledger = match args.dry_run {
        true => None,
        false => Some(open_ledger(&place.spool)?),
    };
    let mut importer = Importer {
        spool: &place.spool,
        site,
        ledger,
        remove: args.remove,
        json,
        out,
        told: Told::default(),
    };
    let mut batch = Vec::new();
    let mut bytes = 0;
    for source in &sources {
        if let Some(ready) = importer.prepare(source)? {
            bytes += ready.body.len();
            batch.push(ready);
        }
        if batch.len() == BATCH || bytes > BATCH_BYTES {
            importer.store(&std::mem::take(&mut batch))?;
            bytes = 0;
        }
    }
    importer.store(&batch)?;
    importer.told.end(args.dry_run)
}

/// The files in the order of what they tell of, so that it is also the order in
/// which they are accepted here.
fn in_order(directory: &Path, site: Option<&SiteId>) -> Result<Vec<Source>, Failure> {
    let cannot_read = |path: &Path, error| {
        let what = format!("cannot read {}", path.display());
        Failure::caused(Status::Failed, what, error)
    };
    let found = source::find(directory).map_err(|error| cannot_read(directory, error))?;
    let mut timed = Vec::with_capacity(found.len());
    for source in found {
        // What cannot be read now is told when its turn comes.
        let time = match source.read() {
            Ok(Content::Whole(file, written)) => {
                if source::site(&file).or(site.cloned()).is_none() {
                    let what = format!(
                        "{} does not name its site: give --site SITE",
                        source.shown()
                    );
                    return Err(Failure::new(Status::Usage, what));
                }
                event_time(&file).unwrap_or(written)
            }
            _ => UnixTime::NEVER,
        };
        timed.push((time, source));
    }
    timed.sort_by_key(|(time, _)| *time);
    Ok(timed.into_iter().map(|(_, source)| source).collect())
}

fn open_ledger(spool: &Path) -> Result<Ledger, Failure> {
    Ledger::open(spool).map_err(|error| {
        let what = format!("cannot keep what is imported in {}", spool.display());
        Failure::caused(Status::TryAgain, what, error)
    })
}

/// A spool file that has become a notification.
struct Ready<'a> {
    source: &'a Source,
    id: NotificationId,
    /// Its name in the drop box.
    name: String,
    body: String,
    what: What,
}

/// What is told of a file beside what became of it.
#[derive(Default)]
struct What {
    kind: &'static str,
    plugin: Option<String>,
    object: String,
}

/// What became of a file.
enum Outcome {
    Stored,
    /// It was stored before.
    Known,
    /// It is no notification: a copy is in `corrupt/`.
    SetAside(String),
    /// It is not finished, gone again, or no file.
    LeftOut(&'static str),
    /// It is where it was.
    Failed(String),
    /// What would become of it.
    Would(&'static str),
}

struct Importer<'a> {
    spool: &'a Path,
    site: Option<SiteId>,
    /// None if nothing is to be done.
    ledger: Option<Ledger>,
    remove: bool,
    json: bool,
    out: &'a mut dyn Write,
    told: Told,
}

impl Importer<'_> {
    /// Reads a file. Tells what becomes of it, unless it is to be stored.
    fn prepare<'s>(&mut self, source: &'s Source) -> Result<Option<Ready<'s>>, Failure> {
        let content = match source.read() {
            Ok(content) => content,
            Err(error) => {
                let outcome = Outcome::Failed(format!("cannot be read: {error}"));
                self.tell(source, None, &What::default(), &outcome)?;
                return Ok(None);
            }
        };
        let (outcome, id, what) = match content {
            Content::None(why) => (Outcome::LeftOut(why), None, What::default()),
            Content::Broken(why) => {
                let (id, outcome) = self.set_aside(source, &why);
                (outcome, Some(id), What::default())
            }
            Content::Whole(file, written) => {
                let what = What {
                    kind: file.kind().word(),
                    plugin: file.plugin().map(|name| words::one_line(name, 80)),
                    object: String::new(),
                };
                let site = source::site(&file).or(self.site.clone());
                let Some(site) = site else {
                    // Only a file that has changed since `in_order` comes here.
                    let outcome = Outcome::Failed("does not name its site".to_owned());
                    self.tell(source, None, &what, &outcome)?;
                    return Ok(None);
                };
                let ready = ready(source, file, site, written, what);
                match (ready, &self.ledger) {
                    (Err(why), _) => {
                        let (id, outcome) = self.set_aside(source, &why);
                        (outcome, Some(id), What::default())
                    }
                    (Ok(ready), None) => (Outcome::Would("import"), Some(ready.id), ready.what),
                    (Ok(ready), Some(ledger)) if ledger.knows(ready.id) => {
                        (Outcome::Known, Some(ready.id), ready.what)
                    }
                    (Ok(ready), _) => return Ok(Some(ready)),
                }
            }
        };
        let outcome = self.remove(source, outcome);
        self.tell(source, id, &what, &outcome)?;
        Ok(None)
    }

    fn set_aside(&self, source: &Source, why: &str) -> (NotificationId, Outcome) {
        let unknown = || SiteId::new("checkmk").expect("a site id");
        let id = source.id(&self.site.clone().unwrap_or_else(unknown));
        if self.ledger.is_none() {
            return (id, Outcome::Would("set aside"));
        }
        let text = format!("spool file of Checkmk, {}: {why}", source.shown());
        let name = format!("{id}.checkmk");
        let outcome = match source.open() {
            Ok(mut file) => match spool::set_aside(self.spool, &name, &mut file, &text) {
                Ok(()) => Outcome::SetAside(why.to_owned()),
                Err(error) => Outcome::Failed(program::exit::chain(&error)),
            },
            Err(error) => Outcome::Failed(format!("cannot be read: {error}")),
        };
        (id, outcome)
    }

    /// Stores what is ready, durably, and tells of it.
    fn store(&mut self, batch: &[Ready<'_>]) -> Result<(), Failure> {
        let Some(ledger) = self.ledger.as_mut().filter(|_| !batch.is_empty()) else {
            return Ok(());
        };
        let bodies: Vec<&[u8]> = batch.iter().map(|ready| ready.body.as_bytes()).collect();
        let asked = submission::submit_all(self.spool, &bodies, PATIENCE);
        let outcomes: Vec<Outcome> = batch
            .iter()
            .zip(asked)
            .map(|(ready, asked)| match asked {
                Asked::Submitted(submitted) => submitted.into(),
                Asked::Refused(why) => Outcome::Failed(format!("refused by notifyd: {why}")),
                Asked::Unanswered => drop_in(self.spool, ready),
            })
            .collect();
        let stored = batch.iter().zip(&outcomes);
        let stored = stored.filter(|(_, outcome)| outcome.is_stored());
        let ids: Vec<NotificationId> = stored.map(|(ready, _)| ready.id).collect();
        ledger.add(&ids).map_err(|error| {
            let what = format!("cannot write {}", ledger.path.display());
            Failure::caused(Status::TryAgain, what, error)
        })?;
        for (ready, outcome) in batch.iter().zip(outcomes) {
            let outcome = self.remove(ready.source, outcome);
            self.tell(ready.source, Some(ready.id), &ready.what, &outcome)?;
        }
        Ok(())
    }

    /// Removes a file whose content is durable here, if that is wanted.
    fn remove(&self, source: &Source, outcome: Outcome) -> Outcome {
        let durable = outcome.is_stored() || matches!(outcome, Outcome::SetAside(_));
        if !self.remove || !durable || self.ledger.is_none() {
            return outcome;
        }
        match fs::remove_file(&source.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Outcome::Failed(format!("stored, but cannot be removed: {error}"))
            }
            _ => outcome,
        }
    }

    fn tell(
        &mut self,
        source: &Source,
        id: Option<NotificationId>,
        what: &What,
        outcome: &Outcome,
    ) -> Result<(), Failure> {
        self.told.count(outcome);
        let (word, reason) = outcome.words();
        if self.json {
            let text = json!({
                "file": source.shown(),
                "id": id.map(|id| id.to_string()),
                "kind": Some(what.kind).filter(|kind| !kind.is_empty()),
                "plugin": what.plugin,
                "object": what.object,
                "outcome": word,
                "reason": reason,
            });
            return line(self.out, &text.to_string());
        }
        let id = id.map_or("-".to_owned(), |id| id.to_string());
        let mut text = format!("{}  {id}  {word}", source.shown());
        for detail in [
            (!what.kind.is_empty()).then_some(what.kind),
            what.plugin.as_deref(),
            Some(what.object.as_str()).filter(|object| !object.is_empty()),
        ] {
            text.extend(detail.map(|detail| format!("  {detail}")));
        }
        text.extend(reason.map(|reason| format!(": {reason}")));
        line(self.out, &text)
    }
}

fn ready(
    source: &Source,
    file: nagios::SpoolFile,
    site: SiteId,
    written: UnixTime,
    mut what: What,
) -> Result<Ready<'_>, String> {
    let created = event_time(&file).unwrap_or(written);
    let id = source.id(&site);
    let (kind, context) = file.into_notification();
    let mut notification = Notification {
        id,
        kind,
        created,
        expires: None,
        site,
        context,
    };
    let body = notification
        .print_to_fit()
        .map_err(|error| program::exit::chain(&error))?;
    what.object = object_of(body.as_bytes());
    Ok(Ready {
        source,
        id,
        name: format!("{:016x}.{id}", created.micros().max(0)),
        body,
        what,
    })
}

fn drop_in(spool: &Path, ready: &Ready<'_>) -> Outcome {
    match drop_box::submit_named(spool, &ready.name, ready.id, ready.body.as_bytes()) {
        Ok(submitted) => submitted.into(),
        Err(error) => Outcome::Failed(program::exit::chain(&error)),
    }
}

impl From<drop_box::Submitted> for Outcome {
    fn from(submitted: drop_box::Submitted) -> Self {
        match submitted {
            drop_box::Submitted::New => Self::Stored,
            drop_box::Submitted::AlreadyThere => Self::Known,
        }
    }
}

impl Outcome {
    fn is_stored(&self) -> bool {
        matches!(self, Self::Stored | Self::Known)
    }

    fn words(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Stored => ("stored", None),
            Self::Known => ("known", None),
            Self::SetAside(why) => ("set aside", Some(why)),
            Self::LeftOut(why) => ("left out", Some(why)),
            Self::Failed(why) => ("failed", Some(why)),
            Self::Would(what) => ("would", Some(what)),
        }
    }
}

/// How many files became what.
#[derive(Default)]
struct Told {
    stored: u64,
    known: u64,
    set_aside: u64,
    left_out: u64,
    failed: u64,
}

impl Told {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Stored => self.stored += 1,
            Outcome::Known => self.known += 1,
            Outcome::SetAside(_) => self.set_aside += 1,
            Outcome::LeftOut(_) => self.left_out += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Would(_) => {}
        }
    }

    fn end(&self, dry_run: bool) -> Result<Status, Failure> {
        let sum = format!(
            "stored {}, known {}, set aside {}, left out {}, failed {}",
            self.stored, self.known, self.set_aside, self.left_out, self.failed
        );
        if self.failed > 0 {
            return Err(Failure::new(Status::TryAgain, sum));
        }
        if self.set_aside > 0 {
            return Err(Failure::new(Status::Incomplete, sum));
        }
        if !dry_run {
            eprintln!("notifyctl: {sum}");
        }
        Ok(Status::Done)
    }
}
