//! The server that a dump is made of: which one it is, which columns it has,
//! which of its objects belong to the site, and its rows as they come.
//!
//! One query after the other, each on a connection of its own, with a limit on
//! every kind of waiting and memory for one row. What the rows become is the
//! business of the programs.

#![warn(missing_docs)]

pub mod cells;
mod columns;
mod pieces;
pub mod remarks;
mod server;
mod site;
mod state;

pub use columns::Columns;
pub use pieces::{each_row, each_row_if_any};
pub use server::{Error, Limits, Refusal, Source, default_socket};
pub use site::{Scope, choose};
pub use state::{HOST, SERVICE, StateReader};
