//! rsyslog to rsyslog over RELP, with disk queues that are synced at each message
//! on both sides.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{ports, wait_for};

use super::{Outcome, ordinary};
use crate::notify::submit::SIZE;

const COUNT: usize = 1000;

pub(super) fn measure(directory: &Path) -> Outcome {
    if !Path::new("/usr/lib/x86_64-linux-gnu/rsyslog/omrelp.so").exists() {
        return Err("rsyslog-relp is not installed".into());
    }
    let (entrance, relp) = (ports::free(), ports::free());
    let output = directory.join("out");
    let queue = |name: &str| {
        format!(
            "queue.type=\"Disk\" queue.filename=\"{name}\" queue.maxDiskSpace=\"1g\" queue.syncqueuefiles=\"on\" queue.checkpointInterval=\"1\" queue.size=\"100000\""
        )
    };
    for name in ["sender", "receiver"] {
        std::fs::create_dir(directory.join(name)).map_err(|error| error.to_string())?;
    }
    let at = directory.display();
    let sender = format!(
        "global(workDirectory=\"{at}/sender\" maxMessageSize=\"64k\")\nmodule(load=\"imptcp\")\nmodule(load=\"omrelp\")\n\
         input(type=\"imptcp\" port=\"{entrance}\" address=\"127.0.0.1\" ruleset=\"out\")\n\
         ruleset(name=\"out\" {}) {{ action(type=\"omrelp\" target=\"127.0.0.1\" port=\"{relp}\" template=\"RSYSLOG_ForwardFormat\" action.resumeRetryCount=\"-1\") }}\n",
        queue("s")
    );
    let receiver = format!(
        "global(workDirectory=\"{at}/receiver\" maxMessageSize=\"64k\")\nmodule(load=\"imrelp\")\n\
         input(type=\"imrelp\" port=\"{relp}\" address=\"127.0.0.1\" maxDataSize=\"64k\" ruleset=\"in\")\n\
         ruleset(name=\"in\" {}) {{ action(type=\"omfile\" file=\"{}\" sync=\"on\" flushOnTXEnd=\"on\") }}\n",
        queue("r"),
        output.display()
    );
    let mut running = Vec::new();
    for (name, text) in [("receiver", receiver), ("sender", sender)] {
        let file = directory.join(format!("{name}.conf"));
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        super::as_nobody(directory)?;
        running.push(
            ordinary("rsyslogd")
                .arg("-n")
                .arg("-f")
                .arg(&file)
                .arg("-i")
                .arg(directory.join(format!("{name}.pid")))
                .start(),
        );
    }
    let mut stream = wait_for("rsyslog listens", || {
        TcpStream::connect(("127.0.0.1", entrance)).ok()
    });
    let line = format!(
        "<13>Nov 21 08:00:00 remote1 bench: {}\n",
        "x".repeat(SIZE - 40)
    );
    let began = Instant::now();
    stream
        .write_all(line.repeat(COUNT).as_bytes())
        .map_err(|error| error.to_string())?;
    let lines = || {
        let text = std::fs::read(&output).unwrap_or_default();
        text.iter().filter(|byte| **byte == b'\n').count()
    };
    while lines() < COUNT {
        if began.elapsed() > Duration::from_secs(120) {
            return Err(format!("{} of {COUNT} after 120 s", lines()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let rate = COUNT as f64 / began.elapsed().as_secs_f64();
    Ok((
        rate,
        format!(
            "{COUNT} of 2 KiB over RELP; disk queues of both sides synced at each message, output file synced"
        ),
    ))
}
