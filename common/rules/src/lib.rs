//! Which notification reaches whom, and by which lane.
//!
//! A file of rules (sitewire-rules(5)) names contacts, time periods and rules.
//! A rule has conditions; where they all hold it chooses contacts and lanes.
//! [`Rules::decide`] says what becomes of one event, [`Rules::explain`] says why.
//!
//! Nothing in here delivers anything, and only [`Rules::read`] opens files.

#![warn(missing_docs)]

mod condition;
mod contact;
mod decide;
mod event;
mod explain;
mod parameters;
mod pattern;
mod period;
mod read;
mod told;

pub use contact::Contact;
pub use decide::{Decision, Delivery, Rules};
pub use event::{Event, State, Type};
pub use explain::{Explanation, Outcome};
pub use told::Told;
