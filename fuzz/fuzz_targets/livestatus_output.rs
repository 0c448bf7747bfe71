//! Any rows in every format: JSON is what our own reader and another one take
//! for the same rows, Python is a literal, and csv splits into the same cells
//! where the separators are in none of them.

#![no_main]

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice};
use libfuzzer_sys::fuzz_target;
use livestatus::json::{Cell as Read, RowReader};
use livestatus::response::Head;
use livestatus::{OutputFormat, RowWriter, Separators, Value};

#[derive(Debug)]
enum Cell {
    Null,
    Int(i64),
    Float(f64),
    Text(BString),
    Names(Vec<BString>),
    Dict(BTreeMap<BString, BString>),
}

impl Cell {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Text(text) => Value::text(text),
            Self::Names(names) => Value::Names(names),
            Self::Dict(entries) => Value::Dict(entries),
        }
    }

    /// As it stands in csv with these separators.
    fn csv(&self, separators: Separators) -> Vec<u8> {
        match self {
            Self::Text(text) => text.to_vec(),
            Self::Names(names) => bstr::join([separators.list], names),
            Self::Dict(entries) => {
                let entry = |(name, text): (&BString, &BString)| {
                    [&name[..], &[separators.part], text].concat()
                };
                bstr::join([separators.list], entries.iter().map(entry))
            }
            Self::Null => Vec::new(),
            Self::Int(number) => number.to_string().into(),
            Self::Float(number) if number.is_finite() => {
                let mut writer = RowWriter::new(OutputFormat::Json, separators, false);
                writer.begin_row();
                writer.cell(&Value::Float(*number));
                writer.end_row();
                let row = writer.finish();
                row[2..row.len() - 3].to_vec()
            }
            Self::Float(_) => Vec::new(),
        }
    }
}

/// Takes pieces off some bytes.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> [u8; 8] {
        std::array::from_fn(|_| self.byte())
    }

    fn text(&mut self) -> BString {
        let length = usize::from(self.byte() % 16).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text.into()
    }

    fn cell(&mut self) -> Cell {
        match self.byte() % 6 {
            0 => Cell::Null,
            1 => Cell::Int(i64::from_le_bytes(self.number())),
            2 => Cell::Float(f64::from_le_bytes(self.number())),
            3 => Cell::Text(self.text()),
            4 => Cell::Names((0..self.byte() % 4).map(|_| self.text()).collect()),
            _ => Cell::Dict(
                (0..self.byte() % 4)
                    .map(|_| (self.text(), self.text()))
                    .collect(),
            ),
        }
    }
}

fn print(rows: &[Vec<Cell>], format: OutputFormat, separators: Separators) -> Vec<u8> {
    let mut writer = RowWriter::new(format, separators, true);
    for row in rows {
        writer.begin_row();
        for cell in row {
            writer.cell(&cell.value());
        }
        writer.end_row();
    }
    let answer = writer.finish();
    let (head, body) = answer.split_first_chunk().expect("a header");
    let head = Head::parse(head).expect("a header that we read");
    assert_eq!((head.status, head.length), (200, body.len() as u64));
    body.to_vec()
}

fn assert_read(read: Read<'_>, cell: &Cell) {
    let same = |read: Read<'_>, text: &BString| {
        assert_eq!(read.text().as_bytes(), text.to_str_lossy().as_bytes());
    };
    match cell {
        Cell::Null => assert!(read.is_null()),
        Cell::Int(number) => assert_eq!(read.int(), Some(*number)),
        Cell::Float(number) if number.is_finite() => assert_eq!(read.float(), Some(*number)),
        Cell::Float(_) => assert!(read.is_null()),
        Cell::Text(text) => same(read, text),
        Cell::Names(names) => {
            assert_eq!(read.elements().count(), names.len());
            read.elements()
                .zip(names)
                .for_each(|(read, name)| same(read, name));
        }
        Cell::Dict(entries) => {
            assert_eq!(read.entries().count(), entries.len());
            for ((read_name, read), (name, text)) in read.entries().zip(entries) {
                assert_eq!(read_name.as_bytes(), name.to_str_lossy().as_bytes());
                same(read, text);
            }
        }
    }
}

fn check_json(rows: &[Vec<Cell>]) {
    let text = print(rows, OutputFormat::Json, Separators::default());
    assert!(text.is_ascii());
    let parsed: Vec<Vec<serde_json::Value>> =
        serde_json::from_slice(&text).expect("JSON to everybody");
    assert_eq!(parsed.len(), rows.len());
    let mut reader = RowReader::new(1 << 20);
    reader.push(&text);
    for row in rows {
        let read = reader
            .poll_row()
            .expect("JSON to us")
            .expect("as many rows");
        assert_eq!(read.len(), row.len());
        read.cells()
            .zip(row)
            .for_each(|(read, cell)| assert_read(read, cell));
    }
    assert!(matches!(reader.poll_row(), Ok(None)));
    reader.finish().expect("the end of the list");
}

fn check_csv(rows: &[Vec<Cell>]) {
    let separators = Separators {
        row: 0,
        field: 1,
        list: 2,
        part: 3,
    };
    let text = print(rows, OutputFormat::Csv, separators);
    let cells = || rows.iter().flatten().map(|cell| cell.csv(separators));
    let clean = |cell: Vec<u8>| cell.find_byteset(&[0, 1]).is_none();
    if !cells().all(clean) {
        return;
    }
    let read: Vec<Vec<&[u8]>> = text
        .split_inclusive(|b| *b == 0)
        .map(|row| row.strip_suffix(&[0]).expect("every row ends"))
        .map(|row| row.split(|b| *b == 1).collect())
        .collect();
    let wanted: Vec<Vec<Vec<u8>>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.csv(separators)).collect())
        .collect();
    assert_eq!(read, wanted);
}

fn check_python(rows: &[Vec<Cell>]) {
    for format in [OutputFormat::Python, OutputFormat::Python3] {
        let text = print(rows, format, Separators::default());
        assert!(text.is_ascii());
        let value = nagios::python::Value::parse(&text, nagios::python::Limits::default());
        let Ok(nagios::python::Value::List(read)) = value else {
            panic!("{value:?}");
        };
        assert_eq!(read.len(), rows.len());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut source = Source(bytes);
    let width = usize::from(source.byte() % 5) + 1;
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    while !source.0.is_empty() && rows.len() < 64 {
        rows.push((0..width).map(|_| source.cell()).collect());
    }
    check_json(&rows);
    check_csv(&rows);
    check_python(&rows);
    print(&rows, OutputFormat::QuotedCsv, Separators::default());
    print(&rows, OutputFormat::WrappedJson, Separators::default());
});
