//! The same machine, seen from both sides.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use agent::{Checked, Document};

use super::super::linux;
use super::*;
use crate::config::Config;

/// One document of each side. Rates are those of the time between `prime` and
/// `look`.
struct Sides([Vec<(Key, Box<dyn Collector>)>; 2]);

impl Sides {
    fn new() -> Self {
        // Without a configuration everything is collected.
        let (config, _) = Config::load(Path::new("/nonexistent/config.ini"));
        let checks = config.checks;
        let machine = Machine::real(&checks);
        let wanted = [
            linux::collectors(&checks, &machine),
            collectors(&checks, &machine),
        ];
        Self(wanted.map(|wanted| {
            let all = wanted.into_iter();
            all.map(|(_, key, _, _, collector)| (key, collector))
                .collect()
        }))
    }

    fn look(&mut self) -> [Document; 2] {
        self.0.each_mut().map(|collectors| {
            let mut document = Document::default();
            for (key, collector) in collectors {
                match collector.collect() {
                    Ok(found) => found.part.put(&mut document),
                    Err(why) => key.fail(&mut document, why),
                }
            }
            document
        })
    }
}

fn done<T: Clone>(checked: &Checked<T>) -> T {
    checked.done().expect("it was collected").clone()
}

/// Whether two amounts of something that changes all the time are the same.
fn is_about(left: f64, right: f64, tolerance: f64) -> bool {
    (left - right).abs() <= tolerance
}

#[test]
fn both_sides_tell_the_same_of_memory_swap_load_and_origin() {
    let [linux, other] = Sides::new().look();
    let (left, right) = (done(&linux.memory), done(&other.memory));
    assert_eq!(left.total, right.total);
    let hundredth = left.total as f64 / 50.0;
    for (left, right) in [
        (left.available, right.available),
        (left.used, right.used),
        (left.free, right.free),
    ] {
        assert!(
            is_about(left as f64, right as f64, hundredth),
            "{left} {right}"
        );
    }
    assert_eq!(done(&linux.swap).total, done(&other.swap).total);
    let (left, right) = (done(&linux.system_load), done(&other.system_load));
    assert!(is_about(left.load15.unwrap(), right.load15.unwrap(), 0.5));
    let (left, right) = (done(&linux.agent), done(&other.agent));
    assert_eq!(left.kernel_version, right.kernel_version);
    assert_eq!((left.goos, left.goarch), (right.goos, right.goarch));
    let (left, right) = (left.system_uptime.unwrap(), right.system_uptime.unwrap());
    assert!(left.abs_diff(right) <= 5, "{left} {right}");
    assert_eq!(linux::uname().nodename, uname().nodename);
    assert_eq!(linux::uname().machine, uname().machine);
}

#[test]
fn both_sides_tell_the_same_of_file_systems() {
    let [linux, other] = Sides::new().look();
    let sizes = |document: &Document| -> BTreeMap<String, (u64, u64)> {
        let disks = done(&document.disks);
        let size = |disk: Disk| (disk.disk.mountpoint, (disk.usage.total, disk.usage.free));
        disks.into_iter().map(size).collect()
    };
    let (left, right) = (sizes(&linux), sizes(&other));
    let both: Vec<_> = left
        .keys()
        .filter(|place| right.contains_key(*place))
        .collect();
    assert!(!both.is_empty() || left.is_empty() || right.is_empty());
    for place in both {
        let ((total, free), (other_total, other_free)) = (left[place], right[place]);
        assert_eq!(total, other_total, "{place}");
        let tolerance = total as f64 / 50.0;
        assert!(
            is_about(free as f64, other_free as f64, tolerance),
            "{place}"
        );
    }
}

#[test]
fn both_sides_see_the_same_interfaces_and_processes() {
    let [linux, other] = Sides::new().look();
    let names = |document: &Document| Vec::from_iter(done(&document.net_io).into_keys());
    assert_eq!(names(&linux), names(&other));
    let (left, right) = (done(&linux.net_stats), done(&other.net_stats));
    assert!(!left.is_empty());
    for (name, link) in &left {
        assert_eq!(link.mtu, right[name].mtu, "{name}");
    }
    let own = u64::from(std::process::id());
    let of = |document: &Document| {
        let mut processes = done(&document.processes).into_iter();
        processes
            .find(|process| process.pid == own)
            .expect("it runs")
    };
    let (left, right) = (of(&linux), of(&other));
    assert_eq!(left.ppid, right.ppid);
    assert_eq!(left.cmdline, right.cmdline);
    assert_eq!(left.username, right.username);
    assert!(is_about(left.memory_percent, right.memory_percent, 1.0));
}

#[test]
fn both_sides_measure_the_same_load_of_processors() {
    let mut sides = Sides::new();
    sides.look();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        thread::sleep(Duration::from_millis(300));
        let [left, right] = sides.look().map(|document| done(&document.cpu));
        assert_eq!(left.cpu_percentage.len(), right.cpu_percentage.len());
        let totals = [left, right].map(|cpu| cpu.cpu_total_percentage.unwrap());
        assert!(totals.iter().all(|total| (0.0..=100.0).contains(total)));
        // They do not look in the same moment.
        if is_about(totals[0], totals[1], 10.0) {
            return;
        }
        assert!(Instant::now() < deadline, "{totals:?}");
    }
}

#[test]
fn drives_have_no_backslash() {
    assert_eq!(place(Path::new("C:\\")), "C:");
    assert_eq!(place(Path::new("/Volumes/a")), "/Volumes/a");
}
