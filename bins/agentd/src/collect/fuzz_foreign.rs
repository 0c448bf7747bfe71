//! Any bytes as what others tell agentd: the bus, the engine of containers,
//! exporters, those who keep the clock, the kernel, package managers, and the
//! administrator's commands. No panic, and nothing that a document cannot hold.
//!
//! Not a part of the program but the root of a fuzz target, which `fuzz/Cargo.toml`
//! names. It stands here because the program has no library to link.
#![no_main]
#![allow(dead_code, unused_imports, reason = "only what reads is called")]

#[path = "linux/ntp/chrony.rs"]
mod chrony;
#[path = "linux/ntp/control.rs"]
mod control;
#[path = "linux/dbus.rs"]
mod dbus;
mod docker;
mod http;
#[path = "linux/libvirt/rpc.rs"]
mod libvirt;
#[path = "linux/mount_table.rs"]
mod mount_table;
#[path = "linux/names.rs"]
mod names;
#[path = "packages/text.rs"]
mod packages;
mod part;
#[path = "linux/processes.rs"]
mod processes;
mod root;
#[path = "linux/stream.rs"]
mod stream;
#[path = "linux/systemd.rs"]
mod systemd;
#[path = "linux/ntp/timesync.rs"]
mod timesync;
#[path = "linux/unit_details.rs"]
mod unit_details;
#[path = "linux/users.rs"]
mod users;
#[path = "custom/words.rs"]
mod words;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = dbus::Message::decode(bytes) {
        if let Ok(units) = systemd::units(&message.body) {
            assert!(units.len() <= bytes.len());
        }
        if let Ok(files) = unit_details::unit_files(&message.body) {
            assert!(files.len() <= bytes.len());
        }
        if let Some(status) = timesync::parse(&[Some(message.body)]) {
            let _ = (status.message.offset(), status.message.delay());
        }
    }
    clock(bytes);
    if let Some(Ok(mut answer)) = libvirt::answer(bytes, 1) {
        assert!(answer.guests().is_none_or(|found| found.len() <= bytes.len()));
    }
    for is_end in [false, true] {
        if let Ok(Some(response)) = http::parse(bytes, is_end) {
            assert!(response.body.len() <= bytes.len());
        }
    }
    assert!(users::users(bytes).len() <= bytes.len() / 384);
    assert!(mount_table::parse(bytes).len() <= bytes.len());
    let (first, second) = bytes.split_at(bytes.len() / 2);
    if let Some(stat) = processes::Stat::parse(first) {
        assert!(!processes::command(second, &stat).contains(['\n', '\0']));
    }
    containers(first, second);
    if let Ok(text) = std::str::from_utf8(bytes) {
        software(text);
        let _ = words::split(text);
    }
});

fn clock(bytes: &[u8]) {
    if let Ok(Some(tracking)) = chrony::parse(bytes, 0) {
        assert!(tracking.correction.is_finite() && tracking.update_interval.is_finite());
    }
    // Datagrams of twenty bytes and more, as they come.
    let mut pieces = control::Pieces::of(1);
    for datagram in bytes.chunks(20 + usize::from(bytes.first().copied().unwrap_or(0))) {
        let Ok(Some(answer)) = pieces.push(datagram) else {
            continue;
        };
        assert!(answer.peers().len() <= answer.data.len());
        let variables = answer.variables();
        assert!(variables.number("offset").is_none_or(f64::is_finite));
        let _ = (variables.bits("reach"), variables.moment("rec"));
    }
}

fn containers(listed: &[u8], stats: &[u8]) {
    let listed = serde_json::from_slice::<docker::Listed>(listed).unwrap_or_default();
    let Ok(stats) = serde_json::from_slice::<docker::Stats>(stats) else {
        return;
    };
    let container = listed.with(&stats, &stats.precpu_stats);
    for number in [
        container.cpu_percentage,
        container.memory_percentage,
        container.memory_used,
    ] {
        assert!(number.is_finite() && number >= 0.0);
    }
}

fn software(text: &str) {
    let installed = packages::dpkg(text);
    let most = text.len() + 1;
    assert!(installed.len() <= most);
    assert!(packages::rpm(text).len() <= most);
    assert!(packages::pacman(text).len() <= most);
    assert!(packages::apt_upgrade(text).len() <= most);
    assert!(packages::dnf_updates(text, text, &installed).len() <= most);
    assert!(packages::zypper_updates(text).len() <= most);
    assert!(packages::zypper_patches(text).len() <= most);
    assert!(packages::checkupdates(text).len() <= most);
}
