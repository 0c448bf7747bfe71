//! Answers as existing servers were heard to give them, right and wrong, and
//! what a client makes of them, however they arrive.

use livestatus::json::Cell;
use livestatus::{Event, ResponseReader};

/// A cell as people read it; a number as text is the same to them.
fn show(cell: Cell<'_>) -> String {
    let entries: Vec<_> = cell
        .entries()
        .map(|(name, value)| format!("{name}={}", show(value)))
        .collect();
    if !entries.is_empty() {
        return format!("{{{}}}", entries.join(" "));
    }
    if cell.is_list() {
        let elements: Vec<_> = cell.elements().map(show).collect();
        return format!("[{}]", elements.join(" "));
    }
    cell.text().to_string()
}

fn read(answer: &[u8], size: usize) -> Vec<String> {
    let mut reader = ResponseReader::new(1000);
    let mut chunks = answer.chunks(size);
    let mut out = Vec::new();
    loop {
        match reader.poll_event() {
            Ok(Event::Row(row)) => {
                let cells: Vec<_> = row.cells().map(show).collect();
                out.push(cells.join(" | "));
            }
            Ok(Event::End) => return out,
            Ok(Event::NeedInput) => match chunks.next() {
                Some(chunk) => reader.push(chunk),
                None => reader.finish(),
            },
            Err(error) => {
                out.push(error.to_string());
                return out;
            }
        }
    }
}

/// With the header that belongs to the body.
fn framed(status: u16, body: &str) -> String {
    format!("{status} {:>11}\n{body}", body.len())
}

#[track_caller]
fn assert_read(name: &str, answer: &str, want: &[&str]) {
    for size in [1, 7, usize::MAX] {
        assert_eq!(
            read(answer.as_bytes(), size),
            want,
            "{name}, {size} bytes at a time"
        );
    }
}

#[test]
fn rows_are_the_same_from_every_server() {
    for (name, of_naemon, of_icinga, want) in [
        (
            "numbers and booleans, layout",
            "[[\"CPU load\",0,0],\n[\"CPU utilization\",2,1],\n[\"Memory\",1,0]]\n",
            "[[\"CPU load\",0,false], [\"CPU utilization\",2,true], [\"Memory\",1,false]]",
            &[
                "CPU load | 0 | 0",
                "CPU utilization | 2 | 1",
                "Memory | 1 | 0",
            ][..],
        ),
        (
            "keys of groups are text to one",
            "[[\"0\",5],\n[\"2\",2],\n[\"1\",2],\n[\"3\",1]]\n",
            "[[0,5], [2,2], [1,2], [3,1]]",
            &["0 | 5", "2 | 2", "1 | 2", "3 | 1"],
        ),
        (
            "dicts are pairs to one",
            "[[{\"TAGS\":\"/wan/ prod\",\"SITE\":\"berlin-x\"}]]\n",
            "[[[[\"TAGS\",\"/wan/ prod\"],[\"SITE\",\"berlin-x\"]]]]",
            &["{TAGS=/wan/ prod SITE=berlin-x}"],
        ),
        (
            "what was never is 0 or nothing",
            "[[\"pending\",\"\",\"\"]]\n",
            "[[\"pending\",null,null]]",
            &["pending |  | "],
        ),
        ("no rows", "[]\n", "[]", &[]),
        (
            "escapes",
            "[[\"a \\\" b \\\\ c\",\"tab\\u0009\",\"\\u00fc\"]]\n",
            "[[\"a \\\" b \\\\ c\",\"tab\\t\",\"\\u00fc\"]]",
            &["a \" b \\ c | tab\t | \u{fc}"],
        ),
        (
            "line breaks of long output are two characters",
            "[[\"first\\\\nsecond\"]]\n",
            "[[\"first\\\\nsecond\"]]",
            &["first\\nsecond"],
        ),
    ] {
        assert_read(&format!("{name}, Naemon"), &framed(200, of_naemon), want);
        assert_read(&format!("{name}, Icinga 2"), &framed(200, of_icinga), want);
    }
}

#[test]
fn what_one_server_has_wrong_is_borne() {
    for (name, body, want) in [
        (
            "Naemon cuts the escape of U+1F600",
            "[[\"\\u07c0\"]]\n",
            "\u{7c0}",
        ),
        (
            "Icinga 2 has the pair",
            "[[\"\\ud83d\\ude00\"]]",
            "\u{1f600}",
        ),
        (
            "Naemon makes one of three bytes",
            "[[\"\\u4dbc\"]]\n",
            "\u{4dbc}",
        ),
        (
            "Icinga 2 has one mark a byte",
            "[[\"\\ufffd\\ufffd\\ufffd\"]]",
            "\u{fffd}\u{fffd}\u{fffd}",
        ),
        (
            "Naemon passes half a pair",
            "[[\"x\\ud800y\"]]\n",
            "x\u{fffd}y",
        ),
        (
            "half a pair before another escape",
            "[[\"\\ud83d\\u0041\"]]\n",
            "\u{fffd}A",
        ),
        ("Naemon has what is no number", "[[-nan]]\n", ""),
        ("and what is infinite", "[[inf]]\n", ""),
        (
            "Naemon prints every float in full",
            "[[9.0000000000e+00]]\n",
            "9",
        ),
        ("DEL is raw", "[[\"\u{7f}\"]]\n", "\u{7f}"),
    ] {
        assert_read(name, &framed(200, body), &[want]);
    }
}

#[test]
fn refusals_are_told_in_one_line() {
    let trace = "Error: Column 'nope' does not exist in table 'hosts'.\n\nStacktrace:\n \
                 0# __cxa_throw in /usr/lib/icinga2/sbin/icinga2\n 1# 0x000055EB27CDF3A6 in /usr/lib\n\n";
    for (name, answer, want) in [
        (
            "Naemon, no such table",
            framed(404, "Invalid GET request, no such table 'nosuch'\n"),
            "the server says 404: Invalid GET request, no such table 'nosuch'",
        ),
        (
            "Icinga 2, no such table",
            framed(404, "Table 'nosuch' does not exist."),
            "the server says 404: Table 'nosuch' does not exist.",
        ),
        (
            "Icinga 2 adds where in its code that was",
            framed(452, trace),
            "the server says 452: Error: Column 'nope' does not exist in table 'hosts'.",
        ),
        (
            "Checkmk, a bad header",
            framed(
                400,
                "while processing header 'Limit': expected non-negative integer\n",
            ),
            "the server says 400: while processing header 'Limit': expected non-negative integer",
        ),
        (
            "Naemon, the time is up",
            framed(413, "Maximum query time of 1 seconds exceeded!\n"),
            "the server says 413: Maximum query time of 1 seconds exceeded!",
        ),
        (
            "Naemon, too few filters",
            framed(
                400,
                "error in And header: Cannot combine 2 filters with 'AND': only 1 are on stack\n",
            ),
            "the server says 400: error in And header: Cannot combine 2 filters with 'AND': only 1 are on stack",
        ),
        (
            "Naemon, the client went away too early",
            framed(
                451,
                "Client connection terminated while request still incomplete\n",
            ),
            "the server says 451: Client connection terminated while request still incomplete",
        ),
        (
            "Checkmk's proxy, a certificate",
            framed(495, "certificate verify failed\n"),
            "the server says 495: certificate verify failed",
        ),
        (
            "Naemon, a fault before it knew of the frame",
            "Undefined request header 'Foo: bar'\n".to_owned(),
            "the answer has no header, it begins with 'Undefined request header 'Foo: bar''",
        ),
        (
            "Naemon, a command that it does not know",
            "400: Unknown command 'NO_SUCH_COMMAND'\n".to_owned(),
            "the answer has no header, it begins with '400: Unknown command 'NO_SUCH_COMMAND''",
        ),
        (
            "Icinga 2, a format that it does not know",
            framed(200, ""),
            "the answer is not a JSON list of rows: it is empty at byte 0",
        ),
        (
            "Icinga 2, a number that it cannot read",
            String::new(),
            "the connection was closed without an answer",
        ),
    ] {
        assert_read(name, &answer, &[want]);
    }
}

#[test]
fn the_last_byte_of_the_header_is_any() {
    // Icinga 2 puts the row separator there.
    assert_read("Separators: 0", "200           7\0[[\"a\"]]", &["a"]);
}
