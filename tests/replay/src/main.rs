//! Power loss at any moment, with a real file system: two sites exchange
//! notifications, one with its spool on a disk that remembers every write and
//! every flush. From that, images are made of what the disk may hold when the
//! power fails: all that was flushed, and any part of the rest in pieces of 512
//! bytes. Each image is mounted and recovered, and must hold whole what was
//! acknowledged before the moment, once.
//!
//! Usage: replay --programs DIR [--images N] [--seed N] [--side sender|receiver]
//!               [--fs ext4|xfs] [--mount OPTIONS] [--failing-writes] [--must-fail]
//!
//! Needs root, for loop devices and mounts. With --failing-writes the disk also
//! fails data writes for a while, of which a program hears once; on XFS, because
//! ext4 of some kernels (6.18) lets a sync succeed now and then though a write has
//! failed, where several files are written at the same time. With --must-fail the
//! programs have their syncs switched off, and it is an error if nothing is found.

mod disk;
mod story;
mod system;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use disk::{Disk, Entry, Images};
use objects::{Envelope, NotificationId};
use spool::record::Event;
use spool::sim::Chance;
use spool::{Options, Queue, SpoolDirectory};
use story::{Side, Story};
use system::{FileSystem, Loop, Mount, run};

/// Length of the disk.
const DISK: usize = 80 << 20;
/// The exit status of a test that did not run.
const SKIPPED: u8 = 77;

struct Arguments {
    programs: PathBuf,
    images: usize,
    seed: u64,
    sides: Vec<Side>,
    fs: FileSystem,
    mount: String,
    failing_writes: bool,
    must_fail: bool,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("replay: {why}");
            return ExitCode::from(2);
        }
    };
    if let Some(why) = obstacle() {
        println!("skipped: {why}");
        return ExitCode::from(SKIPPED);
    }
    let mut good = true;
    for side in &arguments.sides {
        match replay(&arguments, *side) {
            Ok(found) => good &= found == arguments.must_fail,
            Err(why) => {
                eprintln!("replay: {why}");
                return ExitCode::FAILURE;
            }
        }
    }
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        programs: PathBuf::new(),
        images: 500,
        seed: 1,
        sides: vec![Side::Sender, Side::Receiver],
        fs: FileSystem::Ext4,
        mount: String::new(),
        failing_writes: false,
        must_fail: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
        match argument.as_str() {
            "--programs" => found.programs = value()?.into(),
            "--images" => found.images = number(value()?)? as usize,
            "--seed" => found.seed = number(value()?)?,
            "--mount" => found.mount = value()?,
            "--failing-writes" => found.failing_writes = true,
            "--fs" => {
                found.fs = match value()?.as_str() {
                    "ext4" => FileSystem::Ext4,
                    "xfs" => FileSystem::Xfs,
                    other => return Err(format!("no file system {other}")),
                }
            }
            "--must-fail" => found.must_fail = true,
            "--side" => {
                found.sides = match value()?.as_str() {
                    "sender" => vec![Side::Sender],
                    "receiver" => vec![Side::Receiver],
                    other => return Err(format!("no side {other}")),
                }
            }
            other => return Err(format!("what is {other}?")),
        }
    }
    if found.failing_writes {
        found.fs = FileSystem::Xfs;
    }
    if found.mount.is_empty() {
        found.mount = found.fs.options().to_owned();
    }
    match found.programs.join("notifyd").is_file() {
        true => Ok(found),
        false => Err("--programs must be where notify and notifyd are".to_owned()),
    }
}

/// Why this cannot run here.
fn obstacle() -> Option<String> {
    // SAFETY: it has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Some("only root may mount images".to_owned());
    }
    let needed = ["/dev/fuse", "/dev/loop-control"];
    let missing = needed.iter().find(|path| !Path::new(path).exists())?;
    Some(format!("there is no {missing}"))
}

/// Plays the story and judges the images; whether one was wrong.
fn replay(arguments: &Arguments, side: Side) -> Result<bool, String> {
    let directory = Temporary::new()?;
    let (log, since) = record(arguments, side, &directory.0)?;
    let entries = log.entries();
    let writes = entries.iter().filter(|e| matches!(e, Entry::Write { .. }));
    let flushes = entries.iter().filter(|e| matches!(e, Entry::Flush));
    let marks = entries.iter().filter(|e| matches!(e, Entry::Mark(_)));
    println!(
        "{side:?}: {} writes, {} flushes, {} acknowledgements; {} images, seed {}, {:?}, {}",
        writes.count(),
        flushes.count(),
        marks.count(),
        arguments.images,
        arguments.seed,
        arguments.fs,
        arguments.mount,
    );
    let mut chance = Chance::new(arguments.seed);
    let span = (entries.len() - since) as u64;
    let mut points: Vec<usize> = (0..arguments.images)
        .map(|_| since + chance.below(span + 1) as usize)
        .collect();
    points.sort_unstable();
    let mut images = Images::new(&entries, DISK);
    let mut wrong = 0;
    for (number, point) in points.into_iter().enumerate() {
        let image = images.at(point, &mut |limit| chance.below(limit));
        let acknowledged: BTreeSet<NotificationId> = entries[..point]
            .iter()
            .filter_map(|entry| match entry {
                Entry::Mark(id) => NotificationId::parse(id),
                _ => None,
            })
            .collect();
        if let Err(why) = judge(arguments, side, &directory.0, &image, &acknowledged) {
            wrong += 1;
            println!("image {number}, power lost after {point} operations: {why}");
        }
    }
    println!("{side:?}: {wrong} of {} images wrong", arguments.images);
    Ok(wrong > 0)
}

/// Plays the story on a disk that remembers; its log, and from where on it is of
/// interest.
fn record(
    arguments: &Arguments,
    side: Side,
    directory: &Path,
) -> Result<(disk::Log, usize), String> {
    let [fuse, mounted, ordinary] =
        ["fuse", "mounted", "ordinary"].map(|name| directory.join(name));
    for path in [&fuse, &mounted, &ordinary] {
        std::fs::create_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let disk = Disk::mount(&fuse, DISK).map_err(|error| format!("FUSE: {error}"))?;
    let device = Loop::over(&disk.file())?;
    arguments.fs.make(device.device())?;
    let mount = Mount::new(&arguments.mount, Path::new(device.device()), &mounted)?;
    run("sync", &["-f".as_ref(), mounted.as_os_str()])?;
    if arguments.failing_writes {
        device.split_requests()?;
        check_failures_are_told(&mounted, &disk.failing)?;
    }
    let since = disk.log.entries().len();
    let story = Story {
        programs: &arguments.programs,
        ordinary: &ordinary,
        remembered: mount.path(),
        mark: &disk.mark(),
        failing: arguments.failing_writes.then(|| disk.failing.clone()),
        side,
    };
    let played = story.play();
    if played.is_err() {
        for site in ["remote", "central"] {
            let text = std::fs::read_to_string(ordinary.join(format!("{site}.log")));
            eprint!("{}", text.unwrap_or_default());
        }
    }
    played?;
    if arguments.failing_writes {
        println!("{side:?}: {} writes failed", disk.failing.count());
        if disk.failing.count() == 0 {
            return Err("no write met the failing disk".to_owned());
        }
    }
    let log = disk.log.clone();
    drop(mount);
    drop(device);
    Ok((log, since))
}

/// A program can only do something about a write that has failed if it hears of it.
/// The loop device of some kernels takes a request for done that its file has taken
/// a part of.
fn check_failures_are_told(mounted: &Path, failing: &disk::Failing) -> Result<(), String> {
    let path = mounted.join("probe");
    failing.arm(true);
    let probe = || -> std::io::Result<bool> {
        let mut file = std::fs::File::create(&path)?;
        file.write_all(&vec![disk::TEXT[0]; 1 << 20])?;
        Ok(file.sync_data().is_err())
    };
    let told = probe().map_err(|error| format!("{}: {error}", path.display()))?;
    failing.arm(false);
    let _ = std::fs::remove_file(&path);
    match told && failing.count() > 0 {
        true => Ok(()),
        false => Err("a write failed, and its sync did not say so".to_owned()),
    }
}

/// Recovers an image, and says what is wrong with what is there.
fn judge(
    arguments: &Arguments,
    side: Side,
    directory: &Path,
    image: &[u8],
    acknowledged: &BTreeSet<NotificationId>,
) -> Result<(), String> {
    let (file, at) = (directory.join("image"), directory.join("crashed"));
    // A new file: mount(8) would use the loop device of the old one again, and what
    // the kernel remembers of it, if that is not quite gone yet.
    let _ = std::fs::remove_file(&file);
    std::fs::write(&file, image).map_err(|error| format!("{}: {error}", file.display()))?;
    let _ = std::fs::create_dir(&at);
    let mount = Mount::image(&arguments.mount, &file, &at)?;
    let story = Story {
        programs: &arguments.programs,
        ordinary: directory,
        remembered: mount.path(),
        mark: directory,
        failing: None,
        side,
    };
    let spool = story.spool(side);
    if !spool.join("new").is_dir() && acknowledged.is_empty() {
        return Ok(());
    }
    judge_spool(&spool, acknowledged, arguments.failing_writes)
}

/// Places that a disk has not written may be damaged; what stood there must be
/// elsewhere then.
fn judge_spool(
    spool: &Path,
    acknowledged: &BTreeSet<NotificationId>,
    may_be_damaged: bool,
) -> Result<(), String> {
    let dropped = dropped(spool)?;
    let words = |error: spool::Error| format!("{error:?}");
    let directory = SpoolDirectory::open(spool).map_err(words)?;
    let journal = directory.journal().map_err(words)?;
    let (queue, recovery) = Queue::recover(journal, Options::default()).map_err(words)?;
    let mut damages = recovery.damages.iter();
    if let Some(damage) = damages.find(|damage| !damage.why.contains("interrupted"))
        && !may_be_damaged
    {
        return Err(format!("damaged: {damage}"));
    }
    for id in acknowledged {
        if queue.knows(*id).is_none() && !dropped.contains(id) {
            let damages = recovery.damages.iter().map(ToString::to_string);
            let damages: Vec<String> = damages.collect();
            return Err(format!("{id} is lost; {recovery}: {}", damages.join(", ")));
        }
    }
    let open: Vec<NotificationId> = queue.open().map(|message| message.id).collect();
    for id in &open {
        let body = queue.body(*id).map_err(words)?.unwrap_or_default();
        if !is_whole(&body, *id) {
            return Err(format!("{id} has a body that is not its own"));
        }
    }
    for (id, events) in spool::history::of_each(spool, &open).map_err(words)? {
        let accepted = |(_, event): &&(_, Event<'_>)| matches!(event, Event::Accepted { .. });
        if events.iter().filter(accepted).count() > 1 {
            return Err(format!("{id} was stored twice"));
        }
    }
    // The next recovery finds the same.
    drop(queue);
    let journal = directory.journal().map_err(words)?;
    let (queue, _) = Queue::recover(journal, Options::default()).map_err(words)?;
    match queue.open().map(|message| message.id).eq(open) {
        true => Ok(()),
        false => Err("a second recovery finds something else".to_owned()),
    }
}

/// What is in the drop box; each file must be whole.
fn dropped(spool: &Path) -> Result<BTreeSet<NotificationId>, String> {
    let mut ids = BTreeSet::new();
    let entries = std::fs::read_dir(spool.join("new")).map_err(|error| error.to_string())?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let body = std::fs::read(&path).map_err(|error| error.to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let id = NotificationId::parse(&name).ok_or(format!("a file {name:?}"))?;
        if !is_whole(&body, id) {
            return Err(format!("{name} in new/ is not whole"));
        }
        ids.insert(id);
    }
    Ok(ids)
}

fn is_whole(body: &[u8], id: NotificationId) -> bool {
    let text = String::from_utf8_lossy(body);
    Envelope::parse(&text).is_ok_and(|envelope| envelope.id == id)
}

/// A directory that goes away at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self, String> {
        run("mktemp", &["-d"]).map(|path| Self(path.into()))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
