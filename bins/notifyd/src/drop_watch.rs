//! Watches the drop box and says when somebody should look into it.
//!
//! inotify only wakes; what is there is found out by a scan. So a lost event, a
//! full event queue or a file system without inotify costs time, not files:
//! the owner scans at its start and every minute in any case.

use std::path::Path;

use inotify::{Inotify, WatchMask};

/// Watches `directory` in a thread of its own and calls `wake` after each
/// burst of events, until `wake` says that nobody listens any more.
pub(crate) fn start(
    directory: &Path,
    mut wake: impl FnMut() -> bool + Send + 'static,
) -> std::io::Result<()> {
    let mut inotify = Inotify::init()?;
    // CLOSE_WRITE is for those who wrote in place instead of renaming.
    let mask = WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE | WatchMask::ONLYDIR;
    inotify.watches().add(directory, mask)?;
    let watch = move || {
        let mut buffer = vec![0; 64 * 1024];
        // An overflow is an event like any other: it wakes.
        while inotify.read_events_blocking(&mut buffer).is_ok() && wake() {}
    };
    std::thread::Builder::new()
        .name("drop-box".to_owned())
        .spawn(watch)
        .map(drop)
}
