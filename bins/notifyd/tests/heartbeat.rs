//! The watcher outside hears of us as long as we are there.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use support::{Site, wait_until};

/// Counts who asks, and says that it is well.
fn watcher() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let beats = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&beats);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            if request[..length].starts_with(b"GET /ping/1 HTTP/1.1\r\n") {
                count.fetch_add(1, Ordering::SeqCst);
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, beats)
}

/// How long the watcher waits for a beat before he raises the alarm.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks as a watcher does: whether nothing was heard for a while.
fn is_silent(beats: &AtomicUsize) -> bool {
    let before = beats.load(Ordering::SeqCst);
    std::thread::sleep(PATIENCE);
    beats.load(Ordering::SeqCst) == before
}

#[test]
fn the_watcher_hears_nothing_of_a_centre_that_hangs_or_is_gone() {
    let (address, beats) = watcher();
    let site = Site::new(
        "central",
        &format!("[heartbeat]\nevery = '50ms'\nurl = 'http://{address}/ping/1'\n"),
    );
    let daemon = site.start();
    wait_until("it beats", || beats.load(Ordering::SeqCst) >= 3);
    daemon.signal(Signal::STOP);
    wait_until("the alarm is raised", || is_silent(&beats));
    daemon.signal(Signal::CONT);
    let before = beats.load(Ordering::SeqCst);
    wait_until("it beats again", || beats.load(Ordering::SeqCst) > before);
    daemon.kill();
    wait_until("the alarm is raised", || is_silent(&beats));
}

#[test]
fn a_program_can_tell_the_watcher() {
    let command = "[heartbeat]\nevery = '50ms'\ncommand = ['@beat', 'to', 'the watcher']\n";
    let site = Site::new("central", command);
    let check = || {
        let output = site.command().arg("--check-config").output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(
        check().contains("[heartbeat]: ") && check().contains("beat: No such file"),
        "{}",
        check()
    );
    site.script(
        "beat",
        "if [ -e @fails ]; then echo no way out; echo x >>@failed; exit 7; fi\n\
         echo \"$#: $2 ${NOTIFY_ID-none}\" >>@beats",
    );
    assert_eq!(check(), "");
    let mut daemon = site.start();
    wait_until("it beats", || site.lines("beats").len() >= 3);
    assert_eq!(site.lines("beats")[0], "2: the watcher none");
    // One that fails is no beat, and is told of once.
    std::fs::write(site.path("fails"), "").unwrap();
    let said = daemon.wait_for_line("no heartbeat: ");
    assert!(said.ends_with("/beat: exit code 7: no way out"), "{said}");
    wait_until("it is tried again", || site.lines("failed").len() >= 3);
    let complaints = daemon.log().into_iter();
    assert_eq!(
        complaints
            .filter(|line| line.contains("no heartbeat"))
            .count(),
        1
    );
    std::fs::remove_file(site.path("fails")).unwrap();
    daemon.wait_for_line("the heartbeat is back");
    daemon.terminate();
}

#[test]
fn a_watcher_is_told_in_one_way() {
    for (keys, want) in [
        ("", "needs either `url` or `command`"),
        (
            "url = 'http://127.0.0.1/'\ncommand = ['/bin/true']",
            "needs either `url` or `command`",
        ),
        ("command = ['true']", "must begin with an absolute path"),
        ("command = []", "must begin with an absolute path"),
        (
            "url = 'ftp://127.0.0.1/'",
            "must begin with https:// or http://",
        ),
        (
            "command = ['/bin/true']\nproxy = 'http://127.0.0.1:1'",
            "`proxy`",
        ),
    ] {
        let site = Site::new("central", &format!("[heartbeat]\n{keys}\n"));
        let output = site.command().arg("--check-config").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{keys}: {said}");
        assert!(said.contains(want), "{keys}: {said}");
        assert_eq!(said.lines().count(), 1, "{keys}: {said}");
    }
}

#[test]
fn the_watcher_hears_of_us_until_we_end_and_a_reload_finds_another() {
    let (address, beats) = watcher();
    let heartbeat =
        |address: &str| format!("[heartbeat]\nevery = '50ms'\nurl = 'http://{address}/ping/1'\n");
    let site = Site::new("central", &heartbeat(&address));
    let mut daemon = site.start();
    wait_until("it beats", || beats.load(Ordering::SeqCst) >= 3);
    // Another watcher, who is not there; then the first one again.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = gone.local_addr().unwrap().to_string();
    drop(gone);
    site.configure(&heartbeat(&nowhere));
    daemon.signal(Signal::HUP);
    daemon.wait_for_line("no heartbeat: 127.0.0.1: ");
    let before = beats.load(Ordering::SeqCst);
    site.configure(&heartbeat(&address));
    daemon.signal(Signal::HUP);
    daemon.wait_for_line("the heartbeat is back");
    wait_until("it beats again", || beats.load(Ordering::SeqCst) > before);
    daemon.terminate();
}

/// What the disk does, whether anything is to be written meanwhile, and why there is
/// no beat then.
const DISKS: [(&str, bool, &str); 3] = [
    ("fdatasync:error=EIO:when=4+", true, "Input/output error"),
    (
        "fdatasync:delay_enter=60s:when=4+",
        true,
        "no heartbeat: the journal does not answer",
    ),
    (
        "fsync:error=EIO:when=40+",
        false,
        "/spool/heartbeat: Input/output error",
    ),
];

#[test]
fn the_watcher_hears_nothing_of_a_centre_whose_disk_fails() {
    for (how, is_used, said) in DISKS {
        let (address, beats) = watcher();
        let text = format!("[heartbeat]\nevery = '50ms'\nurl = 'http://{address}/ping/1'\n");
        let site = Site::new("central", &text);
        let mut daemon = site.start_traced(&site.path("trace"), how);
        daemon.wait_for_line("is ready");
        wait_until("it beats", || beats.load(Ordering::SeqCst) >= 3);
        let mut submitted = 0;
        wait_until(&format!("{how}: the alarm is raised"), || {
            if is_used && submitted < 10 {
                site.submit(&[("HOSTNAME", "db1")]);
                submitted += 1;
            }
            is_silent(&beats)
        });
        let complaint = daemon.wait_for_line("no heartbeat: ");
        assert!(complaint.contains(said), "{how}: {complaint}");
        site.signal_traced(Signal::KILL);
        // strace would sit the delay out.
        daemon.kill();
    }
}
