//! Others that carry messages from here to there, or keep them, on the same disk
//! in the same run. What each of them really syncs is in its note.

mod nats;
mod postfix;
mod redis;
mod rsyslog;

use std::path::Path;

use crate::disk::Disk;
use crate::report::{Better, Report, Row};

use super::store;
use super::throughput::WORK;

/// What one of them did: messages a second, and what it syncs.
type Outcome = Result<(f64, String), String>;

pub(super) fn measure(report: &mut Report, disk: &Disk) {
    type Rival<'a> = &'a dyn Fn(&Path) -> Outcome;
    let unsynced = |directory: &Path| nats::measure(directory, false);
    let synced = |directory: &Path| {
        let result = disk.synced(|| nats::measure(directory, true));
        result.unwrap_or_else(|| Err("only root can mount a file system that syncs".into()))
    };
    let relays = &[WORK][..];
    let rivals: [(&str, &str, &[&str], Rival<'_>); 5] = [
        ("rsyslog", "rsyslogd", relays, &rsyslog::measure),
        ("nats-server", "nats-server", relays, &unsynced),
        ("nats-server", "nats-server", relays, &synced),
        (
            "redis-server",
            "redis-server",
            &[WORK, store::WORK],
            &redis::measure,
        ),
        ("postfix", "postfix", relays, &postfix::measure),
    ];
    for (name, program, works, measure) in rivals {
        let directory = disk.path().join(name);
        std::fs::create_dir(&directory).expect("cannot make a directory");
        let outcome = match harness::peer::find(program) {
            Some(_) => as_nobody(&directory).and_then(|()| measure(&directory)),
            None => Err("not installed".into()),
        };
        let (figure, note) = match outcome {
            Ok((figure, note)) => (Some(figure), note),
            Err(why) => (None, why),
        };
        eprintln!("bench: {name}: {figure:?}: {note}");
        for work in works {
            report.add(Row {
                work: (*work).into(),
                program: name.into(),
                version: version(program),
                figure,
                unit: "1/s",
                better: Better::Higher,
                note: note.clone(),
            });
        }
        std::fs::remove_dir_all(&directory).expect("own directory");
    }
}

/// As root they would run as root, or drop it in their own ways.
fn as_nobody(directory: &Path) -> Result<(), String> {
    if harness::peer::is_root() {
        harness::peer::give(directory, "nobody");
    }
    Ok(())
}

/// `program` run by an ordinary user.
fn ordinary(program: &str) -> harness::Program {
    let path = harness::peer::find(program).expect("it was found before");
    if !harness::peer::is_root() {
        return harness::Program::foreign(path, program);
    }
    harness::Program::foreign("setpriv", program)
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(path)
}

fn version(program: &str) -> String {
    let output = std::process::Command::new("dpkg-query")
        .args(["-W", "-f", "${Version}", program.trim_end_matches('d')])
        .output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).into_owned()
}
