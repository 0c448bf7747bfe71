//! Streams and the loop that drives a session over them: addresses, TLS with
//! certificates of both sides, TLS towards foreign clients, the pauses between
//! attempts to connect. What the messages mean is left to `wire` and to the
//! programs.
//!
//! The only crate under `common` with an async runtime.

#![warn(missing_docs)]

pub mod address;
pub mod backoff;
mod belief;
pub mod enrolment;
pub mod error;
pub mod link;
mod pem;
pub mod pins;
mod read_ahead;
pub mod server;
pub mod tls;

pub use address::{Address, Listener, Stream};
pub use backoff::Backoff;
pub use enrolment::{Enrolment, Visitor};
pub use error::Error;
pub use link::{Command, Messages, drive};
pub use pins::Pins;
pub use read_ahead::ReadAhead;
pub use tls::{Identity, Presented, TlsFiles};
