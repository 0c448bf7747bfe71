//! What a daemon tells its service manager (systemd's `NOTIFY_SOCKET`). Without
//! one, and where there is no systemd, nothing happens.

/// All listeners are bound and the daemon serves.
pub fn ready() {
    send(&State::Ready);
}

/// The daemon is about to end.
pub fn stopping() {
    send(&State::Stopping);
}

/// One line on how it goes: `4 of 5 peers up, 3 waiting`.
pub fn status(text: &str) {
    send(&State::Status(text));
}

enum State<'a> {
    Ready,
    Stopping,
    Status(&'a str),
}

#[cfg(target_os = "linux")]
fn send(state: &State<'_>) {
    use sd_notify::NotifyState;
    let state = match state {
        State::Ready => NotifyState::Ready,
        State::Stopping => NotifyState::Stopping,
        State::Status(text) => NotifyState::Status(text),
    };
    // A service manager that does not listen is no reason to stop working.
    let _ = sd_notify::notify(&[state]);
}

#[cfg(not(target_os = "linux"))]
fn send(state: &State<'_>) {
    if let State::Status(text) = state {
        tracing::debug!("{text}");
    }
}
