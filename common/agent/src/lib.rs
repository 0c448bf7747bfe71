//! What a monitoring agent reports about its machine, and what a core makes of
//! it: the result document, its evaluation into check results, and the
//! services that a document suggests.
//!
//! The document is openITCOCKPIT's, key by key, so that its server reads what
//! we write and we read what its agent writes. Nothing in here opens a file or
//! a socket or asks for the time.

#![warn(missing_docs)]

pub mod discover;
pub mod document;
pub mod evaluate;
pub mod ini;
mod item;
mod lenient;
pub mod plugin_output;
pub mod process;
pub mod rules;
pub mod words;

pub use discover::{discover, discover_for};
pub use document::{Checked, Document, Error};
pub use evaluate::Evaluator;
pub use process::ProcessRule;
pub use rules::{Rule, Rules};
