//! The watcher outside hears of us as long as we are there.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
