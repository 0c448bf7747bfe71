//! A site that forwards to one of two centres, which both forward to a hub.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use objects::NotificationId;
use support::{Site, wait_until};

const PASS: u8 = 0;
/// What the centre answers does not arrive.
const SWALLOW: u8 = 1;
/// Nobody gets through.
const REFUSE: u8 = 2;

/// Between the site and its first centre.
struct Proxy {
    mode: Arc<AtomicU8>,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Proxy {
    fn start(from: &Path, to: PathBuf) -> Self {
        let listener = UnixListener::bind(from).unwrap();
        let proxy = Self {
            mode: Arc::default(),
            open: Arc::default(),
        };
        let (mode, open) = (Arc::clone(&proxy.mode), Arc::clone(&proxy.open));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if mode.load(Ordering::SeqCst) == REFUSE {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&to) else {
                    continue;
                };
                let mut kept = open.lock().unwrap();
                kept.push(client.try_clone().unwrap());
                kept.push(server.try_clone().unwrap());
                let (there, back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let always = Arc::new(AtomicU8::new(PASS));
                std::thread::spawn(move || carry(there, server, &always));
                let mode = Arc::clone(&mode);
                std::thread::spawn(move || carry(back, client, &mode));
            }
        });
        proxy
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
        if mode == REFUSE {
            for stream in self.open.lock().unwrap().drain(..) {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream, mode: &AtomicU8) {
    let mut buffer = [0; 65536];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if mode.load(Ordering::SeqCst) == PASS && to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

struct World {
    hub: Site,
    a: Site,
    b: Site,
    remote: Site,
}

fn world() -> World {
    let hub = Site::new(
        "hub",
        "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'central-a'\nsites = ['remote1']\n\
         [[peer]]\nsite = 'central-b'\nsites = ['*']\n\
         [[lane]]\nname = 'ops'\nscript = '@plugin'\n",
    );
    hub.script("plugin", "echo $NOTIFY_ID $NOTIFY_PATH >>@log");
    let centre = |name| {
        let rest = format!(
            "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'remote1'\n\
             [[peer]]\nsite = 'hub'\nsend = true\nconnect = 'unix:{}'\n",
            hub.path("link").display()
        );
        Site::new(name, &rest)
    };
    let (a, b) = (centre("central-a"), centre("central-b"));
    let rest = format!(
        "[[peer]]\nsite = 'central-a'\nconnect = 'unix:@proxy'\n\
         [[peer]]\nsite = 'central-b'\nconnect = 'unix:{}'\n\
         [forward]\nto = ['central-a', 'central-b']\nfailover_after = '500ms'\n",
        b.path("link").display()
    );
    let remote = Site::new("remote1", &rest);
    World { hub, a, b, remote }
}

impl World {
    fn submit(&self, count: usize) -> Vec<NotificationId> {
        let one = |n| self.remote.submit(&[("HOSTNAME", &format!("h{}", n % 5))]);
        (0..count).map(one).collect()
    }

    /// Waits until the hub has delivered all of these; the ways they took.
    fn delivered(&self, ids: &[NotificationId]) -> Vec<String> {
        wait_until("all are delivered at the hub", || {
            let log = self.hub.lines("log");
            ids.iter()
                .all(|id| log.iter().any(|line| line.starts_with(&id.to_string())))
        });
        let log = self.hub.lines("log");
        let way = |id: &NotificationId| {
            let lines: Vec<&String> = log
                .iter()
                .filter(|line| line.starts_with(&id.to_string()))
                .collect();
            assert_eq!(lines.len(), 1, "{id} was delivered more than once");
            lines[0].rsplit(' ').next().unwrap().to_owned()
        };
        ids.iter().map(way).collect()
    }
}

fn end(site: &Site, id: NotificationId) -> String {
    site.history(id).last().cloned().unwrap_or_default()
}

#[test]
fn the_second_centre_takes_over_and_the_first_one_again_and_nothing_is_lost_or_doubled() {
    let world = world();
    let proxy = Proxy::start(&world.remote.path("proxy"), world.a.path("link"));
    let (hub, a, b) = (world.hub.start(), world.a.start(), world.b.start());
    let mut remote = world.remote.start();
    let by_a = vec!["remote1,central-a,hub".to_owned(); 10];
    assert_eq!(world.delivered(&world.submit(10)), by_a);

    // The first centre stores these, but that is never heard of; then it is gone.
    proxy.set(SWALLOW);
    let doubtful = world.submit(10);
    assert_eq!(world.delivered(&doubtful), by_a);
    proxy.set(REFUSE);
    remote.wait_for_line("central-b takes over");
    let later = world.submit(10);
    let by_b = vec!["remote1,central-b,hub".to_owned(); 10];
    assert_eq!(world.delivered(&later), by_b);
    for id in doubtful.iter().chain(&later) {
        wait_until("it is settled", || {
            end(&world.remote, *id) == "ended stored by peer"
        });
    }
    let history = world.remote.history(doubtful[0]);
    assert_eq!(
        history,
        [
            "accepted",
            "assigned peer central-a",
            "assigned peer central-b",
            "peer central-b stored by peer",
            "peer central-a stored by peer",
            "ended stored by peer"
        ]
    );
    // Both had them: the hub was told twice, and delivered once.
    wait_until("the hub has seen the copies", || {
        world.hub.state()["duplicates"] == 10
    });

    proxy.set(PASS);
    remote.wait_for_line("central-a is back");
    assert_eq!(world.delivered(&world.submit(10)), by_a);
    assert_eq!(world.hub.lines("log").len(), 40);
    for daemon in [remote, a, b, hub] {
        daemon.terminate();
    }
}

#[test]
fn a_centre_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let world = world();
    let _proxy = Proxy::start(&world.remote.path("proxy"), world.a.path("link"));
    let (hub, b) = (world.hub.start(), world.b.start());
    let mut a = world.a.start();
    let mut remote = world.remote.start();
    let mut ids = Vec::new();
    for round in 1..=3 {
        ids.extend(world.submit(30));
        world.delivered(&ids[..ids.len() - 15]);
        a.kill();
        ids.extend(world.submit(30));
        wait_until("the second centre takes over", || {
            let log = remote.log();
            log.iter()
                .filter(|line| line.contains("takes over"))
                .count()
                >= 2 * round - 1
        });
        ids.extend(world.submit(30));
        a = world.a.start();
        wait_until("the first centre is used again", || {
            let log = remote.log();
            log.iter().filter(|line| line.contains("is back")).count() >= round
        });
    }
    world.delivered(&ids);
    for id in &ids {
        wait_until("it is settled", || {
            end(&world.remote, *id) == "ended stored by peer"
        });
    }
    assert_eq!(world.hub.lines("log").len(), ids.len());
    remote.wait_for_line("is back");
    for daemon in [remote, a, b, hub] {
        daemon.terminate();
    }
}
