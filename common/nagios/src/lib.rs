//! Formats of Nagios and Checkmk, of configurations, check results and waiting
//! notifications: text to values and back.
//!
//! Nothing in here opens a file or a socket, and nothing evaluates what it
//! reads: a `.mk` file is Python to Checkmk, to us it is data.

#![warn(missing_docs)]

pub mod check_result;
mod error;
pub mod frame;
pub mod object;
pub mod passive;
pub mod python;
pub mod shadow;
mod spool_file;

pub use error::Error;
pub use spool_file::{KEYS, PLUGIN, SpoolFile, SpoolFileError, SpoolKind};
