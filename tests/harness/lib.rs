//! What an end-to-end test is made of: sites in temporary directories, our
//! programs as cargo built them, and foreign servers where they are installed.
//!
//! Everything started here is killed when its value is dropped, and what it
//! said is printed when the test fails.

#![warn(missing_docs)]

pub mod agents;
pub mod authority;
pub mod clock;
pub mod icinga2;
pub mod journal;
pub mod judge;
pub mod line;
pub mod livestatus;
pub mod livestatusd;
pub mod nagios;
pub mod peer;
pub mod policy;
pub mod ports;
pub mod postfix;
pub mod program;
pub mod site;
pub mod sshd;
pub mod tap;
pub mod tls;
pub mod wait;

pub use agents::Agents;
pub use authority::{Authority, Credentials};
pub use clock::Clock;
pub use icinga2::Icinga2;
pub use line::Line;
pub use livestatusd::Livestatusd;
pub use nagios::Nagios;
pub use policy::Policy;
pub use postfix::Postfix;
pub use program::{Outcome, Program, Running};
pub use site::Site;
pub use sshd::Sshd;
pub use tap::Tap;
pub use wait::{wait_for, wait_until};
