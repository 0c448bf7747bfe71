//! How every program of the suite starts, connects, logs, reports errors,
//! replaces files and ends. Knows no program's flags or keys.
//!
//! Sockets of servers, and what programs leave behind them, are for Linux alone:
//! what runs elsewhere, the agent, needs neither.

#![warn(missing_docs)]

#[cfg(target_os = "linux")]
pub mod address;
pub mod child;
pub mod config;
#[cfg(target_os = "linux")]
pub mod connection;
pub mod exit;
pub mod file;
pub mod lock;
pub mod log;
#[cfg(target_os = "linux")]
pub mod orphans;
pub mod ready;
#[cfg(all(feature = "tls", target_os = "linux"))]
pub mod tls;

#[cfg(target_os = "linux")]
pub use address::Address;
pub use exit::{Failure, Status, exit};

/// What `--version` prints after the program's name: release, suite, commit.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (sitewire, ",
    env!("SITEWIRE_COMMIT"),
    ")"
);

/// The release alone, as it is told to peers.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");
