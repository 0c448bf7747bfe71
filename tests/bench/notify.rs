//! Notifications from the drop directory of one site to the journal of another,
//! acknowledged, over TLS; against what the disk can do in the same minute.

use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Authority, Program, Running, Site, ports};
use serde_json::Value;

use crate::disk::{Disk, appends_per_second};
use crate::report::{Better, LIMIT, OURS, Report, Row, median};

const ROUNDS: usize = 3;
const NOTIFICATIONS: u32 = 30_000;
/// Of the body.
const SIZE: usize = 2048;

pub(crate) fn measure(report: &mut Report) {
    let disk = Disk::new(3072);
    let (mut ours, mut grouped, mut single) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let directory = disk.path().join(round.to_string());
        std::fs::create_dir(&directory).expect("cannot make a directory");
        grouped.push(appends_per_second(&directory, 1000, 50));
        single.push(appends_per_second(&directory, 1, 300));
        ours.push(forward(&directory));
        std::fs::remove_dir_all(&directory).expect("own directory");
    }
    let kind = &disk.kind;
    let note = format!("median of {ROUNDS}, {kind}");
    let mut add = |program: &str, figure: Option<f64>, note: String| {
        report.add(Row {
            work: "notifications, spool to spool".into(),
            program: program.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure,
            unit: "1/s",
            better: Better::Higher,
            note,
        });
    };
    add(
        OURS,
        Some(median(ours)),
        format!(
            "{NOTIFICATIONS} of 2 KiB from new/ to the peer's journal, acknowledged, TLS; {note}"
        ),
    );
    add(
        LIMIT,
        Some(median(grouped) / 2.0),
        format!("two logs on one disk, each 1,000 × 2 KiB per fdatasync; {note}"),
    );
    add(
        LIMIT,
        Some(median(single)),
        format!("one log, one 2 KiB append per fdatasync; {note}"),
    );
    for peer in ["rsyslog", "nats-server", "postfix", "redis-server"] {
        let reason = match harness::peer::find(peer) {
            Some(_) => "installed, but there is no comparison with it yet",
            None => "not installed, and there is no comparison with it yet",
        };
        add(peer, None, reason.into());
    }
}

/// Notifications a second from the start of the sending daemon, with all of
/// them in its drop directory, until it knows that the peer has stored the last.
fn forward(directory: &Path) -> f64 {
    let authority = Authority::new(&["remote1", "central"]);
    let port = ports::free();
    let (remote, central) = (Site::new("remote1"), Site::new("central"));
    let configure = |site: &Site, peer: &str| {
        let spool = directory.join(site.name());
        std::fs::create_dir(&spool).expect("cannot make a directory");
        site.write(
            "etc/notifyd.toml",
            format!(
                "[site]\nname = \"{}\"\n[spool]\ndirectory = \"{}\"\n[state]\nfile = \"{}\"\ninterval = \"100ms\"\n{}{peer}",
                site.name(),
                spool.display(),
                site.path("var/state").display(),
                authority.tls_table(site.name()),
            ),
        );
        spool
    };
    configure(
        &central,
        &format!("[[listen]]\naddress = \"127.0.0.1:{port}\"\n[[peer]]\nsite = \"remote1\"\n"),
    );
    let spool = configure(
        &remote,
        &format!("[[peer]]\nsite = \"central\"\nconnect = \"127.0.0.1:{port}\"\nsend = true\n"),
    );
    fill(&spool);

    let mut receiver = start(&central);
    receiver.wait_for_line("listening on");
    let began = Instant::now();
    let _sender = start(&remote);
    loop {
        let (sent, received) = (state(&remote), state(&central));
        let all = |value: &Value| value.as_u64() == Some(NOTIFICATIONS.into());
        let waiting = sent["forwards"][0]["waiting"].as_u64().unwrap_or(1)
            + sent["forwards"][0]["processing"].as_u64().unwrap_or(1);
        if all(&sent["accepted"]) && all(&received["accepted"]) && waiting == 0 {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(300),
            "after 300 s: {sent} {received}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    f64::from(NOTIFICATIONS) / began.elapsed().as_secs_f64()
}

fn start(site: &Site) -> Running {
    Program::new("notifyd")
        .label(&format!("notifyd {}", site.name()))
        .arg("--config")
        .arg(site.path("etc/notifyd.toml"))
        .start()
}

fn state(site: &Site) -> Value {
    let text = std::fs::read(site.path("var/state.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// What any script could do: whole files in `tmp/`, renamed into `new/`; one
/// sync for all of them, because filling is not what is measured.
fn fill(spool: &Path) {
    let (tmp, new) = (spool.join("tmp"), spool.join("new"));
    for directory in [&tmp, &new] {
        std::fs::create_dir(directory).expect("cannot make a directory");
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    let (ms, us) = (now.as_millis(), now.as_micros());
    for number in 0..NOTIFICATIONS {
        let id = format!(
            "{:08x}-{:04x}-7000-8000-{number:012x}",
            ms >> 16,
            ms & 0xffff
        );
        let head = format!(
            "{{\"v\":1,\"id\":\"{id}\",\"kind\":\"raw\",\"created_us\":{us},\"site\":\"remote1\",\"path\":[],\
             \"context\":{{\"WHAT\":\"SERVICE\",\"HOSTNAME\":\"db1\",\"SERVICEDESC\":\"Disk /\",\"SERVICEOUTPUT\":\""
        );
        let fill = "x".repeat(SIZE.saturating_sub(head.len() + 3));
        std::fs::write(tmp.join(&id), format!("{head}{fill}\"}}}}")).expect("cannot write");
        std::fs::rename(tmp.join(&id), new.join(&id)).expect("cannot rename");
    }
    rustix::fs::sync();
}
