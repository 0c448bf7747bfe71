//! Configuration dumps.

use objects::SiteId;
use program::{Failure, Status};

use crate::cli;
use crate::input::Input;

/// Takes in a configuration dump.
pub(crate) fn import(
    _args: &cli::Import,
    _site: Option<&SiteId>,
    input: Input,
) -> Result<Status, Failure> {
    let what = format!("{}: configurations are not taken in yet", input.name);
    Err(Failure::new(Status::Failed, what))
}
