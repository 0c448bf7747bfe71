//! State dumps.

use objects::SiteId;
use program::{Failure, Status};

use crate::cli;
use crate::input::{Format, Input};

/// Takes in a dump of states.
pub(crate) fn import(
    _args: &cli::Import,
    _site: Option<&SiteId>,
    _format: Format,
    input: Input,
) -> Result<Status, Failure> {
    Err(input.refuse("states are not taken in yet"))
}
