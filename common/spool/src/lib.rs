//! The durable queue of notifications: a drop box that anything able to rename
//! a file can submit to, and a journal with group commit behind it.
//!
//! Knows durability, order, and what a half-written entry looks like. Does not
//! know the network, the time of day, or what is inside a notification. The
//! layout, the formats and the crash table are in sitewire-spool(5).
//!
//! - [`SpoolDirectory`]: the directory, its owner and its lock; [`ground`]: the file
//!   system that it is on;
//! - [`drop_box`]: files in `new/`, for who submits and for who takes them in;
//! - [`submission`]: the daemon's socket, for who submits and for who listens;
//! - [`control`]: the daemon's other socket, for people;
//! - [`Queue`]: the messages, on top of [`journal`] and a [`Storage`];
//! - [`history`]: reading a journal without its lock, while its owner runs or not.

#![warn(missing_docs)]

pub mod control;
mod directory;
pub mod draft;
pub mod drop_box;
mod error;
pub mod ground;
pub mod history;
mod index;
pub mod journal;
mod label;
mod queue;
pub mod record;
mod replay;
pub mod segment;
pub mod sim;
mod space;
mod spares;
mod storage;
pub mod submission;
mod sync;
mod totals;
mod trace;
mod window;

pub use directory::{SpoolDirectory, set_aside};
pub use error::Error;
pub use index::{Message, TargetState};
pub use journal::{Damage, Options, Recovery};
pub use label::Label;
pub use queue::{Accepted, Begun, Commit, Figures, Known, Queue, Settled};
pub use record::{End, Job, Target, Verdict};
pub use space::{Room, Space};
pub use storage::{DirectoryStorage, Storage, Syncing};
pub use totals::Totals;
