//! Check results as external commands, `PROCESS_SERVICE_CHECK_RESULT` and
//! `PROCESS_HOST_CHECK_RESULT`, as each core reads them.

use std::fmt;

use bstr::ByteSlice;

use crate::check_result::{self, CheckResult};

/// For which core a command is written: they undo escapes in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Core {
    /// Nagios 4 and livestatusd, which read `\\` and `\n`.
    #[default]
    Nagios,
    /// Naemon, which undoes nothing in commands.
    Naemon,
    /// Icinga 2, which undoes escapes for services only, and has no unreachable hosts.
    Icinga2,
}

/// A name that has a semicolon or an end of line in it: no command can name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unnameable;

impl Core {
    /// The core of that word: `nagios`, `naemon`, `icinga2`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "nagios" => Some(Self::Nagios),
            "naemon" => Some(Self::Naemon),
            "icinga2" => Some(Self::Icinga2),
            _ => None,
        }
    }

    /// The core as far as check result files go, of which Icinga 2 reads those
    /// that are written for Nagios.
    pub fn of_files(self) -> check_result::Core {
        match self {
            Self::Naemon => check_result::Core::Naemon,
            Self::Nagios | Self::Icinga2 => check_result::Core::Nagios,
        }
    }
}

/// Appends the command that hands `result` in, without its end of line.
pub fn print(core: Core, result: &CheckResult, out: &mut Vec<u8>) -> Result<(), Unnameable> {
    let is_service = result.service_description.is_some();
    let names = [Some(&result.host_name), result.service_description.as_ref()];
    let bad = |name: &bstr::BString| name.find_byteset(b";\n\r\0").is_some();
    if names.into_iter().flatten().any(bad) {
        return Err(Unnameable);
    }
    let seconds = result.start_time.secs();
    let command = if is_service { "SERVICE" } else { "HOST" };
    out.extend_from_slice(format!("[{seconds}] PROCESS_{command}_CHECK_RESULT").as_bytes());
    for name in names.into_iter().flatten() {
        out.push(b';');
        out.extend_from_slice(name);
    }
    // Icinga 2 has no unreachable hosts that it is told of.
    let code = match (core, is_service) {
        (Core::Icinga2, false) => result.return_code.min(1),
        _ => result.return_code,
    };
    out.extend_from_slice(format!(";{code};").as_bytes());
    // Where the core undoes no escapes there is no way to write a second line.
    let is_escaped = match core {
        Core::Nagios => true,
        Core::Naemon => false,
        Core::Icinga2 => is_service,
    };
    push(out, &result.plugin_output, is_escaped, true);
    if !result.perf_data.is_empty() {
        out.push(b'|');
        push(out, &result.perf_data, is_escaped, false);
    }
    if is_escaped && !result.long_plugin_output.is_empty() {
        out.extend_from_slice(b"\\n");
        push(out, &result.long_plugin_output, true, true);
    }
    Ok(())
}

/// A `|` in the output would begin performance data.
fn push(out: &mut Vec<u8>, text: &[u8], is_escaped: bool, is_output: bool) {
    for b in text {
        match b {
            b'\\' if is_escaped => out.extend_from_slice(b"\\\\"),
            b'\n' if is_escaped => out.extend_from_slice(b"\\n"),
            b'\n' => out.push(b' '),
            b'|' if is_output => out.extend_from_slice("\u{2502}".as_bytes()),
            b => out.push(*b),
        }
    }
}

impl fmt::Display for Unnameable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command cannot name it")
    }
}

impl std::error::Error for Unnameable {}

#[cfg(test)]
mod tests {
    use objects::UnixTime;

    use super::*;

    #[test]
    fn commands_say_what_the_core_reads() {
        let result = |service: Option<&str>| CheckResult {
            host_name: "h".into(),
            service_description: service.map(Into::into),
            return_code: 2,
            start_time: UnixTime::from_micros(5_900_000),
            plugin_output: "C:\\new|x".into(),
            long_plugin_output: "a\nb".into(),
            perf_data: "d=1".into(),
            ..CheckResult::default()
        };
        for (core, service, want) in [
            (
                Core::Nagios,
                Some("s"),
                "[5] PROCESS_SERVICE_CHECK_RESULT;h;s;2;C:\\\\new│x|d=1\\na\\nb",
            ),
            (
                Core::Nagios,
                None,
                "[5] PROCESS_HOST_CHECK_RESULT;h;2;C:\\\\new│x|d=1\\na\\nb",
            ),
            (
                Core::Naemon,
                Some("s"),
                "[5] PROCESS_SERVICE_CHECK_RESULT;h;s;2;C:\\new│x|d=1",
            ),
            (
                Core::Icinga2,
                None,
                "[5] PROCESS_HOST_CHECK_RESULT;h;1;C:\\new│x|d=1",
            ),
        ] {
            let mut line = Vec::new();
            print(core, &result(service), &mut line).unwrap();
            assert_eq!(line.to_str_lossy(), want);
        }
        let refused = print(Core::Nagios, &result(Some("a;b")), &mut Vec::new());
        assert_eq!(refused, Err(Unnameable));
    }
}
