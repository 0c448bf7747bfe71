//! Others that carry messages from here to there, or keep them, on the same disk
//! in the same run. What each of them really syncs is in its note.

mod nats;
mod redis;
mod rsyslog;

use std::path::Path;

use crate::disk::Disk;
use crate::report::{Better, Report, Row};

use super::throughput::WORK;

/// What one of them did: messages a second, and what it syncs.
type Outcome = Result<(f64, String), String>;

pub(super) fn measure(report: &mut Report, disk: &Disk) {
    type Rival = fn(&Path) -> Outcome;
    let rivals: [(&str, &str, Rival); 4] = [
        ("rsyslog", "rsyslogd", rsyslog::measure),
        ("nats-server", "nats-server", nats::measure),
        ("redis-server", "redis-server", redis::measure),
        ("postfix", "postfix", |_| {
            Err("its master(8) and queue need root and users of its own; ordinary users cannot run it".into())
        }),
    ];
    for (name, program, measure) in rivals {
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
        report.add(Row {
            work: WORK.into(),
            program: name.into(),
            version: version(program),
            figure,
            unit: "1/s",
            better: Better::Higher,
            note,
        });
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
