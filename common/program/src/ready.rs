//! What a daemon tells its service manager (systemd's `NOTIFY_SOCKET`). Without
//! one, nothing happens.

use sd_notify::NotifyState;

/// All listeners are bound and the daemon serves.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// The daemon is about to end.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// One line on how it goes: `4 of 5 peers up, 3 waiting`.
pub fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

fn send(state: &[NotifyState<'_>]) {
    // A service manager that does not listen is no reason to stop working.
    let _ = sd_notify::notify(state);
}
