//! A certificate authority in a directory, the certificates it has issued, and
//! how sites come to theirs: by hand, by a request, by an invitation, and by
//! themselves when the old one runs out.
//!
//! Nothing here waits for a network: the messages of an enrolment are values,
//! and who carries them is left to the programs. Every file appears whole or
//! not at all, and only one process at a time works in a directory.

#![warn(missing_docs)]

pub mod agent;
pub mod ca;
pub mod certificate;
pub mod credentials;
pub mod directory;
pub mod enrolment;
pub mod error;
pub mod fingerprint;
pub mod invitation;
pub mod key;
pub mod message;
mod pem;
pub mod request;
pub mod revocation;
pub mod serial;
pub mod settings;

pub use ca::{Authority, Lifetime};
pub use certificate::Certificate;
pub use credentials::Credentials;
pub use directory::Directory;
pub use error::{Error, Refusal};
pub use fingerprint::Fingerprint;
pub use invitation::{Invitation, Token};
pub use key::{Key, Shape};
pub use request::Request;
pub use revocation::RevocationList;
pub use serial::Serial;
pub use settings::Settings;

/// What the URI of a site begins with.
pub const SITE_URI: &str = "sitewire:site:";
/// What the URI of a host's agent begins with.
pub const AGENT_URI: &str = "sitewire:agent:";

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random numbers");
    bytes
}
