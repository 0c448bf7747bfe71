//! Many peers on one daemon. `SITEWIRE_PEERS` and `SITEWIRE_BACKLOG` make it as
//! many as are to be measured; the figures are printed.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use net::{Identity, TlsFiles};
use objects::{NotificationId, SiteId};
use spool::{Options, Queue, SpoolDirectory, Target};
use support::authority::{Authority, TLS, free_port};
use support::{Daemon, Site, wait_until};

fn number(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Resident memory in KiB, and processor time, of a process.
fn usage(daemon: &Daemon) -> (u64, Duration) {
    let read = |file: &str| {
        std::fs::read_to_string(format!("/proc/{}/{file}", daemon.child.id())).unwrap()
    };
    let status = read("status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
    let stat = read("stat");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    (resident.unwrap(), Duration::from_millis(ticks * 10))
}

/// A peer that has nothing to send and answers.
async fn idle_peer(identity: Arc<Identity>, name: String, port: u16) {
    let address: net::Address = format!("127.0.0.1:{port}").parse().unwrap();
    let central = SiteId::new("central").unwrap();
    let stream = address.connect().await.unwrap();
    let stream = identity.connect(&central, stream).await.unwrap();
    support::peer::answer(stream, &name).await;
}

#[test]
fn a_crowd_of_idle_peers_is_up_and_costs_little() {
    let count = number("SITEWIRE_PEERS", 100);
    let authority = Authority::new();
    let port = free_port();
    let name = |n: usize| format!("remote{n}");
    let mut text = format!("{TLS}[[listen]]\naddress = '127.0.0.1:{port}'\n");
    for n in 0..count {
        text += &format!("[[peer]]\nsite = '{}'\n", name(n));
    }
    let central = Site::new("central", &text);
    authority.equip(&central, 1);
    let daemon = central.start();
    let before = usage(&daemon);
    let peers = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut tasks = Vec::new();
            for n in 0..count {
                let site = Site::new(Box::leak(name(n).into_boxed_str()), "");
                authority.equip(&site, n as u64 + 2);
                let files = TlsFiles {
                    certificate: site.path("site.crt"),
                    key: site.path("site.key"),
                    ca: Some(site.path("ca.crt")),
                    crl: None,
                };
                let identity = Arc::new(Identity::load(&files).unwrap());
                tasks.push(tokio::spawn(idle_peer(identity, name(n), port)));
                tokio::task::yield_now().await;
            }
            for task in tasks {
                let _ = task.await;
            }
        });
    });
    let began = Instant::now();
    wait_until("all are up", || {
        assert!(!peers.is_finished(), "the peers have ended");
        let state = central.state();
        let peers = state["peers"].as_array().cloned().unwrap_or_default();
        peers
            .iter()
            .filter(|peer| peer["state"] == "established")
            .count()
            == count
    });
    let (resident, start) = usage(&daemon);
    let idle = Duration::from_secs(number("SITEWIRE_IDLE", 1) as u64);
    std::thread::sleep(idle);
    let (_, end) = usage(&daemon);
    println!(
        "{count} idle peers after {:.1} s: {resident} KiB resident ({} KiB without them), \
         {:.3} s of CPU in {} s",
        began.elapsed().as_secs_f64(),
        before.0,
        (end - start).as_secs_f64(),
        idle.as_secs()
    );
    assert!(resident / 1024 < 64 + count as u64 / 4, "{resident} KiB");
    daemon.terminate();
    peers.join().unwrap();
}

#[test]
fn a_daemon_with_a_backlog_for_many_peers_starts_soon() {
    let (peers, each) = (50, number("SITEWIRE_BACKLOG", 400));
    let mut text = "[[listen]]\naddress = 'unix:@link'\n".to_owned();
    for n in 0..peers {
        text += &format!("[[peer]]\nsite = 'remote{n}'\nsend = true\n");
    }
    let central = Site::new("central", &text);
    let targets: Vec<Target> = (0..peers)
        .map(|n| Target::Peer(SiteId::new(&format!("remote{n}")).unwrap()))
        .collect();
    let directory = SpoolDirectory::open(&central.path("spool")).unwrap();
    let storage = directory.journal().unwrap();
    let (mut queue, _) = Queue::recover(storage, Options::default()).unwrap();
    for n in 0..each {
        let mut notification = support::notification("central", &[("HOSTNAME", &format!("h{n}"))]);
        let now = notification.created;
        notification.id = NotificationId::new(now);
        let body = notification.print().unwrap();
        queue
            .accept(notification.id, None, None, body.as_bytes(), now)
            .unwrap();
        queue.assign(notification.id, &targets, now);
        if n % 1000 == 999 {
            queue.commit().unwrap();
        }
    }
    queue.commit().unwrap();
    drop((queue, directory));
    let began = Instant::now();
    let daemon = central.start();
    println!(
        "{peers} peers with {each} waiting each: ready after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    wait_until("all of it waits", || {
        let state = central.state();
        let forwards = state["forwards"].as_array().cloned().unwrap_or_default();
        forwards.len() == peers && forwards.iter().all(|line| line["waiting"] == each)
    });
    daemon.terminate();
}
