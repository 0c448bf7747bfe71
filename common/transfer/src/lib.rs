//! The receiving side of dumps: what was taken in from which site and when,
//! which dump is newer, and whose a host is; how a dump was compressed, and
//! whether its site has signed it. The signing is here, too.
//!
//! No sockets: streams, and files in a directory of the program that takes
//! dumps in.

#![warn(missing_docs)]

pub mod compress;
mod error;
mod hash;
pub mod idle;
pub mod ledger;
pub mod output;
pub mod owners;
pub mod signature;
mod whole;

pub use compress::{Expanded, open};
pub use error::Error;
pub use hash::hash;
pub use idle::standard_input;
pub use ledger::{Entry, Kind, Ledger, Order, Outcome, Turn};
pub use output::Output;
pub use owners::{Claim, Owners};
pub use signature::{Form, Signed, Signer, SigningWriter, Trust};
pub use whole::read_whole;
