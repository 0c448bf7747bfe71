//! What is asked: requests as they were typed, and what is changed in them so
//! that the answer can be read.

use bstr::{BString, ByteSlice, ByteVec};

use crate::cli::Format;

/// A request as given, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// `GET` and its headers.
    Get(Vec<BString>),
    /// `COMMAND`, and headers if it has any.
    Command(Vec<BString>),
}

/// The headers that say how the answer comes: these are ours.
const FRAMING: [&str; 2] = ["ResponseHeader", "KeepAlive"];
/// The headers that say how the rows look.
const LAYOUT: [&str; 3] = ["OutputFormat", "Separators", "ColumnHeaders"];

impl Request {
    /// Takes text apart into requests. Besides the blank line, the beginning of
    /// another request ends one. The error is the line that begins neither.
    pub(crate) fn parse(text: &[u8]) -> Result<Vec<Self>, BString> {
        let mut requests: Vec<Self> = Vec::new();
        let mut open = false;
        for line in text.lines() {
            let line = BString::from(line.trim_end());
            match line.fields().next() {
                None => open = false,
                Some(b"GET") => {
                    requests.push(Self::Get(vec![line]));
                    open = true;
                }
                Some(b"COMMAND") => {
                    requests.push(Self::Command(vec![line]));
                    open = true;
                }
                Some(_) => match requests.last_mut() {
                    Some(Self::Get(lines) | Self::Command(lines)) if open => lines.push(line),
                    _ => return Err(line),
                },
            }
        }
        Ok(requests)
    }

    /// Whether the request says itself how its rows are to look.
    pub(crate) fn has_format(&self) -> bool {
        let (Self::Get(lines) | Self::Command(lines)) = self;
        lines.iter().any(|line| is_header(line, &["OutputFormat"]))
    }
}

/// The lines of a query given as arguments. `\n` in an argument is a line break
/// where a header follows, or nothing; elsewhere it may belong to a value.
pub(crate) fn join_arguments(arguments: &[BString]) -> BString {
    let mut text = BString::default();
    for argument in arguments {
        let mut rest = argument.as_bytes();
        while let Some(at) = rest.find("\\n") {
            text.push_str(&rest[..at]);
            rest = &rest[at + 2..];
            text.push_str(if begins_line(rest) { "\n" } else { "\\n" });
        }
        text.push_str(rest);
        text.push(b'\n');
    }
    text
}

fn begins_line(rest: &[u8]) -> bool {
    let name = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let begins_header = name > 0 && rest[0].is_ascii_uppercase() && rest.get(name) == Some(&b':');
    rest.is_empty() || rest.starts_with(b"\\n") || begins_header || rest.starts_with(b"COMMAND ")
}

/// The bytes of a query that is answered in a frame. With `format` the rows come
/// in that format, with names if `names`.
pub(crate) fn framed(lines: &[BString], format: Option<&str>, names: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |line: &[u8]| {
        out.push_str(line);
        out.push(b'\n');
    };
    // Directly after the first line: some servers forget it at the first fault.
    put(&lines[0]);
    put(b"ResponseHeader: fixed16");
    let drop_layout = format.is_some();
    for line in &lines[1..] {
        let own = is_header(line, &FRAMING)
            || (drop_layout && is_header(line, &LAYOUT[..2]))
            || (names && is_header(line, &LAYOUT));
        if !own {
            put(line);
        }
    }
    if let Some(format) = format {
        put(format!("OutputFormat: {format}").as_bytes());
    }
    if names {
        // Last, because every Columns line turns it off.
        put(b"ColumnHeaders: on");
    }
    out.push(b'\n');
    out
}

/// What is asked for in order to print a format.
pub(crate) fn word(format: Format) -> &'static str {
    match format {
        Format::Csv => "csv",
        Format::Json | Format::Python | Format::Table => "json",
    }
}

fn is_header(line: &[u8], names: &[&str]) -> bool {
    let Some((name, _)) = line.split_once_str(":") else {
        return false;
    };
    names.iter().any(|known| known.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(lines: &[&str]) -> Request {
        Request::Get(lines.iter().map(|line| BString::from(*line)).collect())
    }

    fn command(line: &str) -> Request {
        Request::Command(vec![line.into()])
    }

    #[test]
    fn requests_are_told_apart() {
        for (text, want) in [
            ("", vec![]),
            ("\n\n", vec![]),
            ("GET a\r\nLimit: 1\r\n", vec![get(&["GET a", "Limit: 1"])]),
            ("GET a\n\n\nGET b\n", vec![get(&["GET a"]), get(&["GET b"])]),
            ("GET a\nGET b", vec![get(&["GET a"]), get(&["GET b"])]),
            (
                "COMMAND [1] A\nCOMMAND [1] B\n\nGET b",
                vec![
                    command("COMMAND [1] A"),
                    command("COMMAND [1] B"),
                    get(&["GET b"]),
                ],
            ),
        ] {
            assert_eq!(Request::parse(text.as_bytes()), Ok(want), "{text:?}");
        }
        for text in ["hosts", "GET a\n\nLimit: 1", "get hosts"] {
            assert!(Request::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn arguments_are_lines() {
        for (arguments, want) in [
            (&["GET a", "Limit: 1"][..], "GET a\nLimit: 1\n"),
            (
                &["GET a\\nColumns: x\\nLimit: 1\\n\\n"],
                "GET a\nColumns: x\nLimit: 1\n\n\n",
            ),
            (&["GET a\nLimit: 1"], "GET a\nLimit: 1\n"),
            (
                &["GET a\\nFilter: x ~ C:\\new"],
                "GET a\nFilter: x ~ C:\\new\n",
            ),
        ] {
            let arguments: Vec<BString> = arguments.iter().map(|a| BString::from(*a)).collect();
            assert_eq!(join_arguments(&arguments), want, "{arguments:?}");
        }
    }

    #[test]
    fn the_frame_is_ours_and_the_rest_is_theirs() {
        let lines: Vec<BString> = [
            "GET hosts",
            "KeepAlive: on",
            "OutputFormat: python",
            "Columns: name",
            "ResponseHeader: off",
            "ColumnHeaders: off",
        ]
        .iter()
        .map(|line| BString::from(*line))
        .collect();
        let text = |format, names| BString::from(framed(&lines, format, names));
        assert_eq!(
            text(None, false),
            "GET hosts\nResponseHeader: fixed16\nOutputFormat: python\nColumns: name\nColumnHeaders: off\n\n"
        );
        assert_eq!(
            text(Some("csv"), false),
            "GET hosts\nResponseHeader: fixed16\nColumns: name\nColumnHeaders: off\nOutputFormat: csv\n\n"
        );
        assert_eq!(
            text(Some("json"), true),
            "GET hosts\nResponseHeader: fixed16\nColumns: name\nOutputFormat: json\nColumnHeaders: on\n\n"
        );
    }
}
