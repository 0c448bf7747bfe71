//! `sendmail`: mails handed to the program of that name. Its exit code is the
//! verdict, as `sysexits.h` has it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bstr::ByteSlice;

use super::child::Call;
use super::environment;
use crate::delivery::{Outcome, Verdict, Work};
use crate::mail::Composer;
use crate::stop::Stop;

/// A lane that hands mails to a program.
pub(crate) struct Sendmail {
    pub(crate) program: PathBuf,
    pub(crate) timeout: Duration,
    pub(crate) composer: Composer,
}

impl Sendmail {
    /// Hands the mail for `work` over.
    pub(crate) fn deliver(&self, work: &Work, stop: &Stop) -> Outcome {
        let mail = match self.composer.compose(work) {
            Ok(mail) => mail,
            Err(outcome) => return outcome,
        };
        let envelope = mail.message.envelope();
        let mut arguments: Vec<OsString> = vec!["-i".into()];
        if let Some(sender) = envelope.from() {
            arguments.extend(["-f".into(), sender.to_string().into()]);
        }
        // What follows are addresses, whatever they begin with.
        arguments.push("--".into());
        let recipients = envelope.to().iter();
        arguments.extend(recipients.map(|address| OsString::from(address.to_string())));
        // Such programs expect the line ends of the system.
        let input = mail.message.formatted().replace("\r\n", "\n");
        let call = Call {
            program: self.program.as_os_str(),
            variables: environment::fit(environment::clean(), &arguments),
            arguments: &arguments,
            input: &input,
            timeout: self.timeout,
        };
        call.run(stop).outcome(judge)
    }
}

/// Final is what another attempt with the same mail cannot change. A missing
/// host, a full disk or a wrong configuration can heal.
fn judge(code: i32) -> Verdict {
    const USAGE: i32 = 64;
    const DATAERR: i32 = 65;
    const NOINPUT: i32 = 66;
    const NOUSER: i32 = 67;
    match code {
        0 => Verdict::Delivered,
        USAGE | DATAERR | NOINPUT | NOUSER => Verdict::Permanent,
        _ => Verdict::Temporary,
    }
}
