//! The protocol `sitewire-notify/1`: how two notification spoolers hand each
//! other notifications without losing or doubling one. The format is described
//! in sitewire-notify-protocol(5).
//!
//! [`Session`] is one end of one connection. It holds no socket and asks for
//! no time: bytes, moments and decisions go in, bytes and events come out.

#![warn(missing_docs)]

pub mod config;
pub mod control;
pub mod error;
pub mod event;
pub mod frame;
mod heartbeat;
mod incoming;
mod linked;
mod outgoing;
pub mod session;

pub use config::{Config, FEATURE_RESULTS};
pub use control::{Disk, Health, Range, RefusalCode, Window};
pub use error::{Cause, Error};
pub use event::{Event, PeerHello};
pub use session::Session;
