//! Rows of a JSON answer, read one by one from a stream, as tolerantly as the
//! existing servers demand: `-nan` and `inf` are null, booleans are numbers,
//! lone surrogates are U+FFFD, and bytes that are not UTF-8 stay as they are.

use std::borrow::Cow;

use bstr::BStr;
use memchr::memchr2;

use crate::error::Error;
use crate::number::{leading_float, leading_int};

/// Deepest nesting inside a row.
const MAX_DEPTH: u32 = 16;

/// One row. Its memory is used again for the next one.
#[derive(Debug, Default)]
pub struct Row {
    /// Where in `nodes` each cell stands.
    cells: Vec<usize>,
    /// All values in the order of the text; what is inside a list follows it.
    nodes: Vec<Node>,
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Null,
    Int(i64),
    Float(f64),
    /// Range of `text`.
    Text(usize, usize),
    /// Its elements are the nodes up to this one.
    List(usize),
    /// Its names and values, in turn, are the nodes up to this one.
    Dict(usize),
}

impl Row {
    /// Number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether it has no cells.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cell at `index`; one that is missing is null.
    pub fn cell(&self, index: usize) -> Cell<'_> {
        Cell {
            row: self,
            at: self.cells.get(index).copied(),
        }
    }

    /// All cells in order.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        (0..self.len()).map(|index| self.cell(index))
    }

    fn clear(&mut self) {
        self.cells.clear();
        self.nodes.clear();
        self.text.clear();
    }

    /// The node after the one at `at` and everything in it.
    fn after(&self, at: usize) -> usize {
        match self.nodes[at] {
            Node::List(end) | Node::Dict(end) => end,
            _ => at + 1,
        }
    }
}

/// A cell of a row, or an element of a list in it.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    row: &'a Row,
    /// `None` for a cell that the row does not have.
    at: Option<usize>,
}

impl<'a> Cell<'a> {
    fn node(self) -> Node {
        self.at.map_or(Node::Null, |at| self.row.nodes[at])
    }

    /// Whether it is null (or a number that is not finite).
    pub fn is_null(self) -> bool {
        matches!(self.node(), Node::Null)
    }

    /// As a whole number: booleans are 0 and 1, fractions are cut off, texts are
    /// read by their leading digits, null and lists are `None`.
    pub fn int(self) -> Option<i64> {
        match self.node() {
            Node::Int(number) => Some(number),
            Node::Float(number) => Some(number as i64),
            Node::Text(from, to) => Some(leading_int(&self.row.text[from..to])),
            Node::Null | Node::List(_) | Node::Dict(_) => None,
        }
    }

    /// As a number; `None` as for [`int`](Self::int).
    pub fn float(self) -> Option<f64> {
        match self.node() {
            Node::Int(number) => Some(number as f64),
            Node::Float(number) => Some(number),
            Node::Text(from, to) => Some(leading_float(&self.row.text[from..to])),
            Node::Null | Node::List(_) | Node::Dict(_) => None,
        }
    }

    /// As text: null is empty, numbers are printed, lists are empty.
    pub fn text(self) -> Cow<'a, BStr> {
        match self.node() {
            Node::Text(from, to) => Cow::Borrowed(BStr::new(&self.row.text[from..to])),
            Node::Int(number) => Cow::Owned(number.to_string().into()),
            Node::Float(number) => Cow::Owned(number.to_string().into()),
            Node::Null | Node::List(_) | Node::Dict(_) => Cow::Borrowed(BStr::new("")),
        }
    }

    /// Whether it is a list or a dict.
    pub fn is_list(self) -> bool {
        matches!(self.node(), Node::List(_) | Node::Dict(_))
    }

    /// The elements of a list; none for anything else.
    pub fn elements(self) -> impl Iterator<Item = Cell<'a>> {
        let (row, range) = match (self.node(), self.at) {
            (Node::List(end), Some(at)) => (self.row, at + 1..end),
            _ => (self.row, 0..0),
        };
        let mut next = range.start;
        std::iter::from_fn(move || {
            (next < range.end).then(|| {
                let at = next;
                next = row.after(at);
                Cell { row, at: Some(at) }
            })
        })
    }

    /// The entries of a dict, be it an object or a list of pairs (Icinga 2).
    pub fn entries(self) -> impl Iterator<Item = (Cow<'a, BStr>, Cell<'a>)> {
        let as_list = match self.node() {
            // The same nodes, read as a flat list of names and values.
            Node::Dict(end) => Some(end),
            _ => None,
        };
        let (row, at) = (self.row, self.at.unwrap_or(0));
        let mut next = at + 1;
        let from_object = std::iter::from_fn(move || {
            let end = as_list?;
            (next < end).then(|| {
                let value = row.after(next);
                let name = Cell {
                    row,
                    at: Some(next),
                };
                next = row.after(value);
                let value = Cell {
                    row,
                    at: Some(value),
                };
                (name.text(), value)
            })
        });
        let from_pairs = self.elements().filter_map(|pair| {
            let mut parts = pair.elements();
            Some((parts.next()?.text(), parts.next()?))
        });
        from_object.chain(from_pairs)
    }
}

/// Reads the rows of a JSON body, however it is split, holding no more than the
/// row it is in.
#[derive(Debug)]
pub struct RowReader {
    limit: usize,
    buffer: Vec<u8>,
    /// Bytes before this are done with.
    start: usize,
    /// Offset of `buffer[0]` in the body.
    offset: u64,
    state: State,
    row: Row,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Before the list.
    Before,
    /// In the list, between rows.
    Between,
    /// In the row that begins at `start`.
    Row(Scan),
    /// After the list.
    After,
}

/// How far the search for a row's end has come.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scan {
    at: usize,
    depth: u32,
    in_text: bool,
}

impl RowReader {
    /// A reader at the beginning of a body. A row may have up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            state: State::Before,
            row: Row::default(),
        }
    }

    /// Bytes of the body that came.
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            // Asked for each row: what is left must not be moved each time.
            return;
        }
        self.buffer.drain(..self.start);
        self.offset += self.start as u64;
        if let State::Row(scan) = &mut self.state {
            scan.at -= self.start;
        }
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole row, or `None` if more bytes are needed or the list has ended.
    pub fn poll_row(&mut self) -> Result<Option<&Row>, Error> {
        Ok(self.advance()?.then_some(&self.row))
    }

    /// Checks, when the body is over, that the list was closed.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::After => Ok(()),
            State::Before => Err(self.error(self.start, "it is empty")),
            State::Between | State::Row(_) => Err(self.error(self.buffer.len(), "it is cut off")),
        }
    }

    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// Whether a further row has been read.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if let State::Row(scan) = self.state {
                let Some(end) = self.find_end(scan) else {
                    if self.buffer.len() - self.start > self.limit {
                        return Err(Error::TooLong {
                            what: "row of the answer",
                            limit: self.limit,
                        });
                    }
                    return Ok(false);
                };
                let row = &self.buffer[self.start..end];
                let parsed = parse_row(row, &mut self.row);
                parsed.map_err(|(at, what)| self.error(self.start + at, what))?;
                (self.start, self.state) = (end, State::Between);
                return Ok(true);
            }
            let Some(b) = self.next_visible() else {
                return Ok(false);
            };
            match (self.state, b) {
                (State::Before, b'[') => self.state = State::Between,
                (State::Between, b',') => {}
                (State::Between, b']') => self.state = State::After,
                (State::Between, b'[') => {
                    self.state = State::Row(Scan {
                        at: self.start,
                        depth: 0,
                        in_text: false,
                    });
                    continue;
                }
                _ => return Err(self.error(self.start, "something else stands there")),
            }
            self.start += 1;
        }
    }

    fn next_visible(&mut self) -> Option<u8> {
        let rest = &self.buffer[self.start..];
        let blanks = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.start += blanks;
        self.buffer.get(self.start).copied()
    }

    /// Searches the end of the row; remembers how far it came.
    fn find_end(&mut self, mut scan: Scan) -> Option<usize> {
        let buffer = &self.buffer;
        while scan.at < buffer.len() {
            if scan.in_text {
                let Some(found) = memchr2(b'"', b'\\', &buffer[scan.at..]) else {
                    scan.at = buffer.len();
                    break;
                };
                scan.at += found;
                if buffer[scan.at] == b'\\' {
                    // The escaped byte must be there to be stepped over.
                    if scan.at + 1 == buffer.len() {
                        break;
                    }
                    scan.at += 1;
                } else {
                    scan.in_text = false;
                }
            } else {
                match buffer[scan.at] {
                    b'"' => scan.in_text = true,
                    b'[' | b'{' => scan.depth += 1,
                    b']' | b'}' => scan.depth -= 1,
                    _ => {}
                }
                if scan.depth == 0 {
                    return Some(scan.at + 1);
                }
            }
            scan.at += 1;
        }
        self.state = State::Row(scan);
        None
    }

    fn error(&self, index: usize, what: &'static str) -> Error {
        Error::BadJson {
            at: self.offset + index as u64,
            what,
        }
    }
}

type Fault = (usize, &'static str);

fn parse_row(bytes: &[u8], row: &mut Row) -> Result<(), Fault> {
    row.clear();
    let mut parser = Parser { bytes, at: 1, row };
    parser.items(b']', |parser| {
        let at = parser.row.nodes.len();
        parser.row.cells.push(at);
        parser.value(0)
    })
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    row: &'a mut Row,
}

impl Parser<'_> {
    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err((self.at, what))
    }

    fn next_visible(&mut self) -> Result<u8, Fault> {
        while let Some(b) = self.bytes.get(self.at) {
            if !b.is_ascii_whitespace() {
                return Ok(*b);
            }
            self.at += 1;
        }
        self.fault("a row ends too early")
    }

    /// Items between commas up to `end`, of which the opening is done.
    fn items(
        &mut self,
        end: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.next_visible()? == end {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            let b = self.next_visible()?;
            self.at += 1;
            if b == end {
                return Ok(());
            }
            if b != b',' {
                self.at -= 1;
                return self.fault("a comma is missing");
            }
        }
    }

    fn value(&mut self, depth: u32) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return self.fault("lists are nested too deep");
        }
        match self.next_visible()? {
            b'"' => self.text(),
            b'[' => {
                let list = self.open();
                self.items(b']', |parser| parser.value(depth + 1))?;
                self.row.nodes[list] = Node::List(self.row.nodes.len());
                Ok(())
            }
            b'{' => {
                let dict = self.open();
                self.items(b'}', |parser| {
                    if parser.next_visible()? != b'"' {
                        return parser.fault("a name is missing");
                    }
                    parser.text()?;
                    if parser.next_visible()? != b':' {
                        return parser.fault("a colon is missing");
                    }
                    parser.at += 1;
                    parser.value(depth + 1)
                })?;
                self.row.nodes[dict] = Node::Dict(self.row.nodes.len());
                Ok(())
            }
            _ => self.word(),
        }
    }

    /// Steps over the opening and reserves the node.
    fn open(&mut self) -> usize {
        self.at += 1;
        self.row.nodes.push(Node::Null);
        self.row.nodes.len() - 1
    }

    fn word(&mut self) -> Result<(), Fault> {
        let rest = &self.bytes[self.at..];
        let ends = |b: &u8| matches!(b, b',' | b']' | b'}' | b':') || b.is_ascii_whitespace();
        let word = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
        let Some(node) = parse_word(word) else {
            return self.fault("that is no value");
        };
        self.row.nodes.push(node);
        self.at += word.len();
        Ok(())
    }

    fn text(&mut self) -> Result<(), Fault> {
        self.at += 1;
        let from = self.row.text.len();
        loop {
            let rest = &self.bytes[self.at..];
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                return self.fault("a text is not closed");
            };
            self.row.text.extend_from_slice(&rest[..found]);
            self.at += found + 1;
            if rest[found] == b'"' {
                break;
            }
            self.escape()?;
        }
        self.row.nodes.push(Node::Text(from, self.row.text.len()));
        Ok(())
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<(), Fault> {
        let Some(b) = self.bytes.get(self.at).copied() else {
            return self.fault("a text is not closed");
        };
        self.at += 1;
        let plain = match b {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(),
            other => other,
        };
        self.row.text.push(plain);
        Ok(())
    }

    fn unicode(&mut self) -> Result<(), Fault> {
        let Some(first) = self.unit(self.at) else {
            return self.fault("an escape is not four digits");
        };
        self.at += 4;
        let mut units = [first, 0];
        let mut count = 1;
        // The second half of a pair is taken only if it is one: half a pair
        // stands for a character that is lost, the next escape is not.
        if (0xd800..0xdc00).contains(&first)
            && self.bytes[self.at..].starts_with(b"\\u")
            && let Some(second) = self.unit(self.at + 2)
            && (0xdc00..0xe000).contains(&second)
        {
            units[1] = second;
            count = 2;
            self.at += 6;
        }
        for c in char::decode_utf16(units[..count].iter().copied()) {
            let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
            let text = &mut self.row.text;
            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }

    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.bytes.get(at..at + 4)?;
        digits.iter().try_fold(0, |unit, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(unit << 4 | digit as u16)
        })
    }
}

/// A number, or one of the words that stand for one.
fn parse_word(word: &[u8]) -> Option<Node> {
    match word {
        b"null" => return Some(Node::Null),
        b"true" => return Some(Node::Int(1)),
        b"false" => return Some(Node::Int(0)),
        _ => {}
    }
    let text = std::str::from_utf8(word).ok()?;
    if let Ok(number) = text.parse() {
        return Some(Node::Int(number));
    }
    // Rust reads `nan`, `-nan`, `inf`, `Infinity` as C prints them.
    let number: f64 = text.parse().ok()?;
    Some(if number.is_finite() {
        Node::Float(number)
    } else {
        Node::Null
    })
}

#[cfg(test)]
mod tests {
    use bstr::ByteSlice;

    use super::*;

    fn show(cell: Cell<'_>) -> String {
        match cell.node() {
            Node::Null => "null".to_owned(),
            Node::Int(number) => number.to_string(),
            Node::Float(number) => format!("{number:?}"),
            Node::Text(..) => format!("'{}'", cell.text()),
            Node::List(_) => {
                let elements: Vec<String> = cell.elements().map(show).collect();
                format!("[{}]", elements.join(" "))
            }
            Node::Dict(_) => {
                let entries: Vec<String> = cell
                    .entries()
                    .map(|(name, value)| format!("{name}={}", show(value)))
                    .collect();
                format!("{{{}}}", entries.join(" "))
            }
        }
    }

    fn read_chunks<'a>(
        chunks: impl Iterator<Item = &'a [u8]>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let mut reader = RowReader::new(limit);
        let mut rows = Vec::new();
        for chunk in chunks {
            reader.push(chunk);
            while let Some(row) = reader.poll_row()? {
                let cells: Vec<String> = row.cells().map(show).collect();
                rows.push(cells.join(" "));
            }
        }
        reader.finish()?;
        Ok(rows)
    }

    /// In one piece and in small ones, which must not differ.
    fn read(body: &[u8]) -> Result<Vec<String>, Error> {
        let whole = read_chunks(std::iter::once(body), 1000);
        for size in [1, 2, 3] {
            assert_eq!(read_chunks(body.chunks(size), 1000), whole);
        }
        whole
    }

    #[test]
    fn answers_of_the_known_servers() {
        for (name, body, want) in [
            (
                "Naemon",
                "[[\"CPU load\",0,0],\n[\"Memory\",1,0]]\n",
                &["'CPU load' 0 0", "'Memory' 1 0"][..],
            ),
            (
                "Icinga 2",
                "[[\"Memory\",1,false], [\"CPU load\",0,true]]",
                &["'Memory' 1 0", "'CPU load' 0 1"],
            ),
            ("no rows", "[]\n", &[]),
            ("an empty row", "[[]]", &[""]),
            ("white space", " [ [ 1 , 2 ] , [ ] ] \n", &["1 2", ""]),
            (
                "dict of Naemon",
                r#"[[{"TAGS":"/wan/ prod","SITE":"b"}]]"#,
                &["{TAGS='/wan/ prod' SITE='b'}"],
            ),
            (
                "dict of Icinga 2",
                r#"[[[["SITE","b"],["TAGS",[1,2]]],3]]"#,
                &["[['SITE' 'b'] ['TAGS' [1 2]]] 3"],
            ),
            ("floats", "[[9.0000000000e-01,0.9,7.0]]", &["0.9 0.9 7.0"]),
            (
                "numbers that are none",
                "[[-nan,nan,inf,-inf,null,1e999,NaN]]",
                &["null null null null null null null"],
            ),
            ("large", "[[99999999999999999999]]", &["1e20"]),
        ] {
            assert_eq!(read(body.as_bytes()).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn texts_are_bytes() {
        for (body, want) in [
            (
                &br#"[["a \" b \\ c ] , [ {"]]"#[..],
                &b"a \" b \\ c ] , [ {"[..],
            ),
            (br#"[["\u00e4\u20AC"]]"#, "ä€".as_bytes()),
            (br#"[["\ud83d\ude00"]]"#, "\u{1f600}".as_bytes()),
            (br#"[["\ud83dx"]]"#, "\u{fffd}x".as_bytes()),
            (br#"[["\ud83d\u0041"]]"#, "\u{fffd}A".as_bytes()),
            (br#"[["\ude00"]]"#, "\u{fffd}".as_bytes()),
            (br#"[["\t\n\r\b\f\/\u0007"]]"#, b"\t\n\r\x08\x0c/\x07"),
            (b"[[\"raw \xe4\xf6\xc3\"]]", b"raw \xe4\xf6\xc3"),
            (b"[[\"raw\ttab\x7f\"]]", b"raw\ttab\x7f"),
        ] {
            let mut reader = RowReader::new(1000);
            reader.push(body);
            let row = reader.poll_row().unwrap().unwrap();
            assert_eq!(row.cell(0).text().as_bytes(), want, "{}", body.as_bstr());
            assert_eq!(read(body).unwrap().len(), 1);
        }
    }

    #[test]
    fn cells_are_read_as_what_is_wanted() {
        let mut reader = RowReader::new(1000);
        reader.push(br#"[["12x",1.9,true,null,[["A","x"],["B",2]],{"C":"y"}]]"#);
        let row = reader.poll_row().unwrap().unwrap();
        let ints: Vec<_> = row.cells().map(Cell::int).collect();
        assert_eq!(ints, [Some(12), Some(1), Some(1), None, None, None]);
        assert_eq!(row.cell(1).float(), Some(1.9));
        assert_eq!(row.cell(2).text().as_bytes(), b"1");
        assert!(row.cell(3).is_null() && row.cell(99).is_null());
        assert_eq!(row.cell(3).text().as_bytes(), b"");
        let pairs = |index: usize| -> Vec<String> {
            let entries = row.cell(index).entries();
            entries.map(|(k, v)| format!("{k}={}", v.text())).collect()
        };
        assert_eq!(pairs(4), ["A=x", "B=2"]);
        assert_eq!(pairs(5), ["C=y"]);
        assert_eq!(pairs(0), [""; 0]);
    }

    #[test]
    fn bad_bodies_are_errors() {
        let deep = format!("[{}{}]", "[".repeat(30), "]".repeat(30));
        for (body, at, what) in [
            ("", 0, "it is empty"),
            ("[[1],", 5, "it is cut off"),
            ("[[1", 3, "it is cut off"),
            ("{\"a\":1}", 0, "something else stands there"),
            ("[1]", 1, "something else stands there"),
            ("[[1]] x", 6, "something else stands there"),
            ("[[1 2]]", 4, "a comma is missing"),
            ("[[x]]", 2, "that is no value"),
            ("[[1,]]", 4, "that is no value"),
            ("[[\"\\u12\"]]", 5, "an escape is not four digits"),
            ("[[{1:2}]]", 3, "a name is missing"),
            ("[[{\"a\" 2}]]", 7, "a colon is missing"),
            ("[[1}]", 3, "a comma is missing"),
            (&deep, 19, "lists are nested too deep"),
        ] {
            assert_eq!(
                read(body.as_bytes()),
                Err(Error::BadJson { at, what }),
                "{body}"
            );
        }
    }

    #[test]
    fn a_row_that_is_too_long_is_an_error() {
        let body = format!("[[\"{}\"]]", "x".repeat(100));
        for size in [1, 10] {
            let error = read_chunks(body.as_bytes().chunks(size), 50).unwrap_err();
            assert!(
                matches!(error, Error::TooLong { limit: 50, .. }),
                "{error:?}"
            );
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_answer() {
        let mut reader = RowReader::new(1000);
        reader.push(b"[[0]");
        for _ in 0..10_000 {
            reader.push(b",\n[\"host\",\"service description\",0,1,\"output\"]");
            while reader.poll_row().unwrap().is_some() {}
        }
        assert!(
            reader.buffer.capacity() < 4096,
            "{}",
            reader.buffer.capacity()
        );
    }
}
