//! The receiving side of dumps: what was taken in from which site and when,
//! which dump is newer, and whose a host is.
//!
//! No sockets: files in a directory of the program that takes dumps in.

#![warn(missing_docs)]

mod error;
pub mod ledger;
pub mod owners;

pub use error::Error;
pub use ledger::{Entry, Kind, Ledger, Order, Outcome, Turn};
pub use owners::{Claim, Owners};
