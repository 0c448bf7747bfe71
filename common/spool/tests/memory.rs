//! How much memory a backlog takes. A process of its own: others would be counted.

use std::io;
use std::path::PathBuf;

use objects::{NotificationId, SiteId, UnixTime};
use spool::{Job, Options, Queue, Room, Storage, Target};

/// A disk that takes everything and has nothing.
struct Nowhere;

impl Storage for Nowhere {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn create(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn len(&self, _: &str) -> io::Result<u64> {
        Ok(0)
    }
    fn has_other_names(&self, _: &str) -> io::Result<bool> {
        Ok(false)
    }
    fn read_at(&self, _: &str, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
    fn write_at(&self, _: &str, _: u64, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn sync(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync_later(&self, _: &str) -> spool::Syncing {
        Box::new(|| Ok(()))
    }
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn allocate(&self, _: &str, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn room(&self) -> io::Result<Option<Room>> {
        Ok(None)
    }
    fn drop_cache(&self, _: &str) {}
    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}

/// Memory of this process in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn id(number: u32) -> NotificationId {
    let mut bytes = [0x77; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    NotificationId::from_bytes(bytes)
}

#[test]
fn a_waiting_message_takes_less_than_forty_eight_bytes() {
    let central = Target::Peer(SiteId::new("central").unwrap());
    let each = bytes_each(|_| central.clone());
    assert!(each < 48.0, "{each} bytes each");
    // What rules said is there once, however many messages it is said of.
    let job = |number: u32| Target::Job(Job::new("ops", &format!("{:01000}", number % 50)));
    let each = bytes_each(job);
    assert!(each < 48.0, "{each} bytes each with jobs");
}

fn bytes_each(target: impl Fn(u32) -> Target) -> f64 {
    const COUNT: u32 = 400_000;
    let (mut queue, _) = Queue::recover(Nowhere, Options::default()).unwrap();
    let now = UnixTime::from_secs(1_795_217_983);
    let accept = |queue: &mut Queue<Nowhere>, number| {
        queue.accept(id(number), None, None, b"{}", now).unwrap();
        queue.assign(id(number), &[target(number)], now);
        if number % 500 == 0 {
            queue.commit().unwrap();
        }
    };
    // What there is once, and the ids that are remembered.
    (1..=100_000).for_each(|number| accept(&mut queue, number));
    let before = resident();
    (100_001..=100_000 + COUNT).for_each(|number| accept(&mut queue, number));
    let each = (resident() - before) as f64 / f64::from(COUNT);
    assert_eq!(queue.figures().open, COUNT as usize + 100_000);
    println!("{each} bytes each");
    each
}
