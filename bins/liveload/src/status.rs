//! What came from which site: for people, programs and as a plugin.

use program::{Failure, Status};

use crate::cli;

/// Shows it.
pub(crate) fn run(_args: &cli::Status) -> Result<Status, Failure> {
    Err(Failure::new(Status::Failed, "nothing is shown yet"))
}
