//! Fills a spool with a backlog for one peer, starts over, and says how long that
//! takes and how much memory.
//!
//!     cargo run --release -p spool --example backlog -- DIRECTORY [MESSAGES]
//!
//! The directory is left as it is, for a notifyd to start with.

use std::path::Path;
use std::time::Instant;

use objects::{NotificationId, SiteId, UnixTime};
use spool::{Options, Queue, SpoolDirectory, Target};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which directory?")?;
    let count: u32 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let directory = SpoolDirectory::open(Path::new(&path))?;
    let central = Target::Peer(SiteId::new("central")?);
    let start = Instant::now();
    let (mut queue, _) = Queue::recover(directory.journal()?, Options::default())?;
    let text = "x".repeat(1800);
    for number in 0..count {
        let mut id = [0x5a; 16];
        (id[6], id[8]) = (0x7a, 0x8a);
        id[..4].copy_from_slice(&number.to_be_bytes());
        let id = NotificationId::from_bytes(id);
        let body = format!(
            "{{\"v\":1,\"id\":\"{id}\",\"kind\":\"raw\",\"created_us\":1795217983000000,\"site\":\"remote\",\
             \"path\":[\"remote\"],\"context\":{{\"HOSTNAME\":\"host{}\",\"HOSTOUTPUT\":\"{text}\"}}}}",
            number % 5000
        );
        let now = UnixTime::from_secs(1_795_217_983);
        queue.accept(id, None, None, body.as_bytes(), now)?;
        queue.assign(id, std::slice::from_ref(&central), now);
        if number % 1000 == 999 {
            queue.commit()?;
        }
    }
    queue.commit()?;
    println!("{count} accepted in {:.1?}", start.elapsed());
    println!("{}", memory()?);
    drop(queue);
    let start = Instant::now();
    let (queue, recovery) = Queue::recover(directory.journal()?, Options::default())?;
    println!("{recovery}: {:.1?}", start.elapsed());
    println!("{}", memory()?);
    assert_eq!(queue.waiting_for(&central), u64::from(count));
    Ok(())
}

fn memory() -> std::io::Result<String> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let lines = text
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    Ok(lines.collect::<Vec<_>>().join(", "))
}
