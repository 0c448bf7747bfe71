//! Commands, and check results as commands.
//!
//! The text of a check result is one argument: the first line, `|`,
//! performance data, and further lines; line feeds are written `\n` and
//! backslashes `\\`.

use bstr::{BStr, BString, ByteSlice, ByteVec};
use objects::{CheckResult, UnixTime};

use crate::error::{Error, excerpt};
use crate::number::parse_count;

/// An external command: `[TIME] NAME;argument;argument`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// When it was given.
    pub time: UnixTime,
    /// Its name.
    pub name: BString,
    /// Everything after the first semicolon, as it came.
    pub arguments: BString,
}

const HOST_RESULT: &str = "PROCESS_HOST_CHECK_RESULT";
const SERVICE_RESULT: &str = "PROCESS_SERVICE_CHECK_RESULT";

impl Command {
    /// Parses what stands after `COMMAND `, without line feed.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let parts = Parts::parse(text)?;
        Ok(Self {
            time: parts.time,
            name: parts.name.into(),
            arguments: parts.arguments.into(),
        })
    }

    /// Appends `COMMAND [TIME] NAME;arguments`, line feed and blank line.
    pub fn print(&self, out: &mut Vec<u8>) {
        // Whole seconds: that is all that other servers read.
        out.extend_from_slice(format!("COMMAND [{}] ", self.time.secs()).as_bytes());
        out.extend_from_slice(&self.name);
        if !self.arguments.is_empty() {
            out.push(b';');
            out.extend_from_slice(&self.arguments);
        }
        out.extend_from_slice(b"\n\n");
    }

    /// The arguments one by one; the last of `count` keeps its semicolons.
    pub fn split(&self, count: usize) -> impl Iterator<Item = &BStr> {
        self.arguments.splitn(count, |b| *b == b';').map(BStr::new)
    }

    /// The check result, if this is `PROCESS_HOST_CHECK_RESULT` or
    /// `PROCESS_SERVICE_CHECK_RESULT`; `None` for any other command.
    pub fn check_result(&self) -> Option<Result<CheckResult, Error>> {
        if self.name == HOST_RESULT {
            Some(self.parse_result(false))
        } else if self.name == SERVICE_RESULT {
            Some(self.parse_result(true))
        } else {
            None
        }
    }

    fn parse_result(&self, of_service: bool) -> Result<CheckResult, Error> {
        let mut arguments = self.split(if of_service { 4 } else { 3 });
        let mut name = |what: &str| match arguments.next() {
            Some(name) if !name.is_empty() => Ok(BString::from(name)),
            _ => Err(Error::BadCommand(format!(
                "{}: {what} is missing",
                self.name
            ))),
        };
        let host_name = name("host name")?;
        let service_description = of_service
            .then(|| name("service description"))
            .transpose()?;
        let object = || match &service_description {
            Some(description) => excerpt(&[&host_name[..], b";", description].concat(), 200),
            None => excerpt(&host_name, 200),
        };
        let highest = if of_service { 3 } else { 2 };
        let code = arguments.next().unwrap_or_default();
        let return_code = parse_count(code.trim())
            .and_then(|code| u8::try_from(code).ok())
            .filter(|code| *code <= highest)
            .ok_or_else(|| Error::BadRecord {
                object: object(),
                what: format!("return code '{}' is not 0 to {highest}", excerpt(code, 20)),
            })?;
        let text = unescape(arguments.next().unwrap_or_default());
        let (plugin_output, long_plugin_output, perf_data) = split_output(&text);
        Ok(CheckResult {
            host_name,
            service_description,
            time: self.time,
            return_code,
            plugin_output,
            long_plugin_output,
            perf_data,
        })
    }

    /// The command that hands in `result`. Names that contain a semicolon or a
    /// line feed cannot be sent. A `|` inside the output, which would begin
    /// performance data, becomes U+2502.
    pub fn from_check_result(result: &CheckResult) -> Result<Self, Error> {
        let mut arguments = BString::default();
        let name = if result.service_description.is_some() {
            SERVICE_RESULT
        } else {
            HOST_RESULT
        };
        push_name(&mut arguments, "host name", &result.host_name)?;
        if let Some(description) = &result.service_description {
            push_name(&mut arguments, "service description", description)?;
        }
        arguments.push_str(format!("{};", result.return_code));
        push_output(&mut arguments, &result.plugin_output);
        if !result.perf_data.is_empty() {
            arguments.push(b'|');
            let blanks = result.perf_data.replace("\n", " ");
            escape(&mut arguments, &blanks);
        }
        if !result.long_plugin_output.is_empty() {
            arguments.push_str("\\n");
            push_output(&mut arguments, &result.long_plugin_output);
        }
        Ok(Self {
            time: result.time,
            name: name.into(),
            arguments,
        })
    }
}

/// A command whose parts are borrowed from the line.
pub(crate) struct Parts<'a> {
    pub(crate) time: UnixTime,
    pub(crate) name: &'a [u8],
    pub(crate) arguments: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, Error> {
        let bad = |what: &str| {
            let text = excerpt(text, 80);
            Error::BadCommand(format!("{what}: '{text}'"))
        };
        let rest = text
            .strip_prefix(b"[")
            .ok_or_else(|| bad("command does not begin with a time in brackets"))?;
        let (time, rest) = rest
            .split_once_str("]")
            .ok_or_else(|| bad("command does not begin with a time in brackets"))?;
        let time =
            UnixTime::parse(time.trim_ascii()).ok_or_else(|| bad("time of the command is none"))?;
        let rest = rest.trim_ascii_start();
        let (name, arguments) = rest.split_once_str(";").unwrap_or((rest, b""));
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        if name.is_empty() || !name.iter().all(allowed) {
            return Err(bad("command has no name"));
        }
        Ok(Self {
            time,
            name,
            arguments,
        })
    }
}

fn push_name(out: &mut BString, place: &'static str, name: &[u8]) -> Result<(), Error> {
    if name.is_empty() || name.find_byteset(b";\n\r\0").is_some() {
        return Err(Error::NotExpressible {
            place,
            value: excerpt(name, 80),
        });
    }
    out.extend_from_slice(name);
    out.push(b';');
    Ok(())
}

fn push_output(out: &mut BString, text: &[u8]) {
    escape(out, &text.replace("|", "\u{2502}"));
}

fn escape(out: &mut BString, text: &[u8]) {
    for b in text {
        match b {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' | 0 => {}
            b => out.push(*b),
        }
    }
}

/// `\n` and `\\`; any other backslash is itself.
fn unescape(text: &[u8]) -> BString {
    let mut out = BString::default();
    let mut rest = text;
    while let Some(at) = rest.find_byte(b'\\') {
        out.extend_from_slice(&rest[..at]);
        let (plain, taken) = match rest.get(at + 1) {
            Some(b'n') => (b'\n', 2),
            Some(b'\\') => (b'\\', 2),
            _ => (b'\\', 1),
        };
        out.push(plain);
        rest = &rest[at + taken..];
    }
    out.extend_from_slice(rest);
    out
}

/// Splits what a plugin printed into the first line, the further lines, and
/// performance data, which may continue after a `|` in the further lines.
fn split_output(text: &[u8]) -> (BString, BString, BString) {
    let (first, further) = text.split_once_str("\n").unwrap_or((text, b""));
    let (output, perf_data) = first.split_once_str("|").unwrap_or((first, b""));
    let mut perf_data = BString::from(perf_data.trim());
    let (long, more) = further.split_once_str("|").unwrap_or((further, b""));
    for line in more
        .lines()
        .map(<[u8]>::trim)
        .filter(|line| !line.is_empty())
    {
        if !perf_data.is_empty() {
            perf_data.push(b' ');
        }
        perf_data.extend_from_slice(line);
    }
    (output.trim().into(), long.trim_end().into(), perf_data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &str) -> Result<CheckResult, Error> {
        Command::parse(text.as_bytes())
            .unwrap()
            .check_result()
            .unwrap()
    }

    #[test]
    fn commands_have_time_name_and_arguments() {
        let command = Command::parse(b"[1795217276] ADD_SVC_COMMENT;h;s;1;me;a;b").unwrap();
        assert_eq!(command.time, UnixTime::from_secs(1_795_217_276));
        assert_eq!(command.name, "ADD_SVC_COMMENT");
        let arguments: Vec<&BStr> = command.split(5).collect();
        assert_eq!(arguments, ["h", "s", "1", "me", "a;b"]);
        let mut out = Vec::new();
        command.print(&mut out);
        assert_eq!(
            out,
            b"COMMAND [1795217276] ADD_SVC_COMMENT;h;s;1;me;a;b\n\n"
        );
        assert!(
            Command::parse(b"[1] RESTART")
                .unwrap()
                .check_result()
                .is_none()
        );
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for (text, want) in [
            (
                "X;y",
                "command does not begin with a time in brackets: 'X;y'",
            ),
            (
                "[1 X",
                "command does not begin with a time in brackets: '[1 X'",
            ),
            ("[] X", "time of the command is none: '[] X'"),
            ("[x] X", "time of the command is none: '[x] X'"),
            ("[1]", "command has no name: '[1]'"),
            ("[1] ;x", "command has no name: '[1] ;x'"),
            ("[1] A B;x", "command has no name: '[1] A B;x'"),
        ] {
            let error = Command::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn outputs_are_taken_apart() {
        for (text, output, long, perf) in [
            ("ok", "ok", "", ""),
            ("ok|a=1", "ok", "", "a=1"),
            (r"ok | a=1 \nlong 1\nlong 2", "ok", "long 1\nlong 2", "a=1"),
            (r"ok|a=1\nlong|b=2\nc=3", "ok", "long", "a=1 b=2 c=3"),
            (r"C:\\new C:\temp", r"C:\new C:\temp", "", ""),
            ("a;b", "a;b", "", ""),
            ("", "", "", ""),
        ] {
            let got = result(&format!("[5] PROCESS_SERVICE_CHECK_RESULT;h;s;1;{text}")).unwrap();
            assert_eq!(got.plugin_output, output, "{text}");
            assert_eq!(got.long_plugin_output, long, "{text}");
            assert_eq!(got.perf_data, perf, "{text}");
        }
    }

    #[test]
    fn bad_check_results_are_refused() {
        for (text, want) in [
            (
                "[5] PROCESS_HOST_CHECK_RESULT",
                "PROCESS_HOST_CHECK_RESULT: host name is missing",
            ),
            (
                "[5] PROCESS_HOST_CHECK_RESULT;h;3;x",
                "h: return code '3' is not 0 to 2",
            ),
            (
                "[5] PROCESS_HOST_CHECK_RESULT;h",
                "h: return code '' is not 0 to 2",
            ),
            (
                "[5] PROCESS_SERVICE_CHECK_RESULT;h;;0;x",
                "PROCESS_SERVICE_CHECK_RESULT: service description is missing",
            ),
            (
                "[5] PROCESS_SERVICE_CHECK_RESULT;h;s;4;x",
                "h;s: return code '4' is not 0 to 3",
            ),
            (
                "[5] PROCESS_SERVICE_CHECK_RESULT;h;s;-1;x",
                "h;s: return code '-1' is not 0 to 3",
            ),
        ] {
            assert_eq!(result(text).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn check_results_survive_being_sent() {
        for service_description in [None, Some("Disk C:\\new".into())] {
            let sent = CheckResult {
                host_name: b"db\xfc".into(),
                service_description,
                time: UnixTime::from_secs(1_795_217_276),
                return_code: 2,
                plugin_output: r"C:\new is full; 99 %".into(),
                long_plugin_output: "one\ntwo \\n".into(),
                perf_data: r"'C:\ %'=99%;90;95;0;100".into(),
            };
            let command = Command::from_check_result(&sent).unwrap();
            let mut line = Vec::new();
            command.print(&mut line);
            let text = line.strip_prefix(b"COMMAND ").unwrap();
            let text = text.strip_suffix(b"\n\n").unwrap();
            let got = Command::parse(text).unwrap().check_result().unwrap();
            assert_eq!(got, Ok(sent));
        }
    }

    #[test]
    fn a_bar_in_the_output_does_not_begin_performance_data() {
        let sent = CheckResult {
            host_name: "h".into(),
            service_description: None,
            time: UnixTime::from_secs(1),
            return_code: 0,
            plugin_output: "a|b".into(),
            long_plugin_output: "c|d".into(),
            perf_data: "x=1\ny=2".into(),
        };
        let got = Command::from_check_result(&sent).unwrap();
        let got = got.check_result().unwrap().unwrap();
        assert_eq!(got.plugin_output, "a\u{2502}b");
        assert_eq!(got.long_plugin_output, "c\u{2502}d");
        assert_eq!(got.perf_data, "x=1 y=2");
    }

    #[test]
    fn names_that_end_a_field_cannot_be_sent() {
        for name in ["", "a;b", "a\nb", "a\rb", "a\0b"] {
            let result = CheckResult {
                host_name: name.into(),
                service_description: None,
                time: UnixTime::NEVER,
                return_code: 0,
                plugin_output: "".into(),
                long_plugin_output: "".into(),
                perf_data: "".into(),
            };
            let error = Command::from_check_result(&result).unwrap_err();
            assert!(matches!(error, Error::NotExpressible { .. }), "{name:?}");
        }
    }
}
