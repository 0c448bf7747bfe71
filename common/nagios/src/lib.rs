//! Configuration formats of Checkmk and Nagios: text to values and back.
//!
//! Nothing in here opens a file or a socket, and nothing evaluates what it
//! reads: a `.mk` file is Python to Checkmk, to us it is data.

#![warn(missing_docs)]

mod error;
pub mod frame;
pub mod python;
pub mod shadow;

pub use error::Error;
