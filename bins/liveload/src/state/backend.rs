//! The ways into a core.

use std::time::Duration;

use nagios::check_result::CheckResult;
use program::Failure;

use super::remark::Teller;

/// Why a record could not be handed over by that way; the others can.
pub(crate) type Refusal = String;

/// What the core said later of a record that was handed over.
pub(crate) struct Late {
    pub(crate) is_service: bool,
    pub(crate) verdict: LateVerdict,
}

/// Why it is not in the core.
pub(crate) enum LateVerdict {
    /// The core has no such object.
    Unknown,
    Refused(Refusal),
}

/// A way into a core, while one dump goes through it.
pub(crate) trait Backend {
    /// Hands over results of one object, in their order and together.
    fn take(&mut self, results: &[CheckResult]) -> Result<Result<(), Refusal>, Failure>;

    /// After the end: waits until the core has taken everything in, at most that
    /// long, and says whether it has.
    fn await_core(&self, _: Duration) -> Result<bool, Failure> {
        Ok(true)
    }

    /// What the core has said since the last call, where it says anything.
    fn late(&mut self) -> Vec<Late> {
        Vec::new()
    }

    /// Who tells the core of remarks, if that goes the same way.
    fn teller(&mut self) -> Option<&mut dyn Teller> {
        None
    }

    /// The dump is over, complete or not: hands over what is still held.
    fn finish(&mut self, is_complete: bool) -> Result<(), Failure>;
}

/// Hands nothing over: everything is only checked.
pub(crate) struct Nothing;

impl Backend for Nothing {
    fn take(&mut self, _: &[CheckResult]) -> Result<Result<(), Refusal>, Failure> {
        Ok(Ok(()))
    }

    fn finish(&mut self, _: bool) -> Result<(), Failure> {
        Ok(())
    }
}
