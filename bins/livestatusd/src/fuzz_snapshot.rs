//! Any bytes as a snapshot, as they are and with checksums that fit: refused, or
//! taken, and what was taken can be saved and taken again.
//!
//! Not a part of the program but the root of a fuzz target, which `fuzz/Cargo.toml`
//! names. It stands here because the program has no library to link.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "only snapshots are read and written"
)]

mod alike;
mod annotate;
mod annotations;
mod check;
mod command;
mod counters;
mod events;
mod field;
mod groups;
mod history;
mod notes;
mod owners;
#[path = "snapshot/hostile/sealed.rs"]
mod sealed;
mod snapshot;
mod store;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use nagios::shadow::{Limits, parse};
use objects::{SiteId, UnixTime};
use store::Store;

fuzz_target!(|bytes: &[u8]| {
    for text in [bytes.to_vec(), sealed::sealed(bytes)] {
        let saved = taken(&text);
        assert_eq!(taken(&saved), saved);
    }
});

/// What a store that took `text`, or refused it, saves.
fn taken(text: &[u8]) -> Vec<u8> {
    let path = file_of_this_process();
    std::fs::write(path, text).expect("a file");
    let configuration = b"shadow_hosts.update({'db1': {'services': {'Disk /': {}}}})\n";
    let store = Store::new(None);
    let site = store.site_or_new(&SiteId::new("remote1").expect("a name"));
    site.configure(parse(configuration, Limits::default()).expect("a configuration"));
    snapshot::load(path, &store);
    snapshot::save(path, &store, UnixTime::from_secs(1_795_218_000)).expect("saved");
    std::fs::read(path).expect("what was saved")
}

fn file_of_this_process() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let name = format!("sitewire-fuzz-snapshot-{}", std::process::id());
        std::env::temp_dir().join(name)
    })
}
