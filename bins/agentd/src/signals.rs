//! What the daemon is told from outside: by signals, or where there are none, by
//! the keyboard.

/// What it is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    End,
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "there is no signal that says so")
    )]
    Reload,
    /// To open the log anew.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "there is no signal that says so")
    )]
    Reopen,
}

pub(crate) use platform::Signals;

impl Signals {
    /// Waits until it is told to end; all else is not heard.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Told::End {}
    }
}

#[cfg(unix)]
mod platform {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Told;

    /// Those that mean something.
    pub(crate) struct Signals {
        terminate: Signal,
        interrupt: Signal,
        reload: Signal,
        reopen: Signal,
    }

    impl Signals {
        pub(crate) fn new() -> std::io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                reload: signal(SignalKind::hangup())?,
                reopen: signal(SignalKind::user_defined1())?,
            })
        }

        pub(crate) async fn next(&mut self) -> Told {
            tokio::select! {
                _ = self.terminate.recv() => Told::End,
                _ = self.interrupt.recv() => Told::End,
                _ = self.reload.recv() => Told::Reload,
                _ = self.reopen.recv() => Told::Reopen,
            }
        }
    }
}

#[cfg(windows)]
mod platform {
    use tokio::signal::windows::{CtrlC, ctrl_c};

    use super::Told;

    /// Ctrl-C.
    pub(crate) struct Signals(CtrlC);

    impl Signals {
        pub(crate) fn new() -> std::io::Result<Self> {
            ctrl_c().map(Self)
        }

        pub(crate) async fn next(&mut self) -> Told {
            // There is no end of them before the end of the process.
            let _ = self.0.recv().await;
            Told::End
        }
    }
}
