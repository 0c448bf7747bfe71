//! Answers: rows in csv or JSON, framed or not.

use crate::error::Status;
use crate::value::Value;

/// Form of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// Values between separators, nothing quoted.
    #[default]
    Csv,
    /// A list of lists, in ASCII.
    Json,
}

/// What stands between the values of csv.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separators {
    /// Ends a row.
    pub row: u8,
    /// Between cells.
    pub field: u8,
    /// Between elements of a list.
    pub list: u8,
    /// Between the parts of an element.
    pub part: u8,
}

impl Default for Separators {
    fn default() -> Self {
        Self {
            row: b'\n',
            field: b';',
            list: b',',
            part: b'|',
        }
    }
}

/// Builds one answer: begin a row, give its cells, end the row, finish.
#[derive(Debug)]
pub struct RowWriter {
    out: Vec<u8>,
}

impl RowWriter {
    /// An answer in this form; `fixed16` puts the frame's header before it.
    pub fn new(format: OutputFormat, separators: Separators, fixed16: bool) -> Self {
        let _ = (format, separators, fixed16);
        Self { out: Vec::new() }
    }

    /// The row of column names.
    pub fn names<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.begin_row();
        for name in names {
            self.cell(&Value::text(name));
        }
        self.end_row();
    }

    /// Begins a row.
    pub fn begin_row(&mut self) {
        todo!()
    }

    /// Adds a cell to the row.
    pub fn cell(&mut self, value: &Value<'_>) {
        let _ = value;
        todo!()
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        todo!()
    }

    /// Bytes so far, for a limit on the answer's size.
    pub fn size(&self) -> usize {
        self.out.len()
    }

    /// The whole answer, ready to be sent in one write.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// The answer to a request that failed: with `fixed16` a frame with one line of
/// text, without nothing at all, because a client would take text for data.
pub fn error(status: Status, message: &str, fixed16: bool) -> Vec<u8> {
    let _ = (status, message, fixed16);
    todo!()
}
