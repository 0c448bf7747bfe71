#![warn(missing_docs)]
//! x
