//! Livestatus, both ends, as values: requests are parsed and printed, filters
//! are compiled and applied, answers are written and read, and so are the
//! commands that carry check results and state dumps.
//!
//! Nothing in here owns a socket or knows the time: bytes are pushed in, values
//! come out, whatever way the bytes were split. Values that come from plugins
//! are bytes.
//!
//! | end | modules |
//! |---|---|
//! | server | [`request`] reads, [`filter`] selects, [`stats`] counts, [`order`] sorts, [`output`] answers |
//! | client | [`query`] asks, [`response`] reads frames, [`json`] their rows, [`server`] tells who answered |
//! | both | [`value`], [`command`], [`dump`] |

#![warn(missing_docs)]

pub mod command;
pub mod dump;
pub mod error;
pub mod filter;
mod header;
pub mod json;
mod lines;
mod number;
pub mod order;
pub mod output;
mod pattern;
pub mod query;
pub mod request;
pub mod response;
pub mod server;
mod stack;
pub mod stats;
pub mod value;
mod words;

pub use command::Command;
pub use error::{Error, Status};
pub use filter::{Filter, Matcher, Operator};
pub use output::{Layout, OutputFormat, RowWriter, Separators};
pub use query::Query;
pub use request::{Request, RequestError, RequestReader};
pub use response::{Event, ResponseReader};
pub use server::Server;
pub use stats::{Aggregation, Stat};
pub use value::{ColumnType, Value};
