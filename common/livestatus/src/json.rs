//! Rows of a JSON answer, read one by one from a stream, as tolerantly as the
//! existing servers demand.

use std::borrow::Cow;

use bstr::BStr;

use crate::error::Error;

/// One row. Its memory is used again for the next one.
#[derive(Debug, Default)]
pub struct Row {
    text: Vec<u8>,
}

impl Row {
    /// Number of cells.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether it has no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cell at `index`; one that is missing is null.
    pub fn cell(&self, index: usize) -> Cell<'_> {
        let _ = index;
        todo!()
    }

    /// All cells in order.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        (0..self.len()).map(|index| self.cell(index))
    }
}

/// A cell of a row, or an element of a list in it.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    row: &'a Row,
}

impl<'a> Cell<'a> {
    /// Whether it is null (or a number that is not finite).
    pub fn is_null(self) -> bool {
        let _ = self.row;
        todo!()
    }

    /// As a whole number: booleans are 0 and 1, fractions are cut off, texts are
    /// read by their leading digits, null and lists are `None`.
    pub fn int(self) -> Option<i64> {
        todo!()
    }

    /// As a number; `None` as for [`int`](Self::int).
    pub fn float(self) -> Option<f64> {
        todo!()
    }

    /// As text: null is empty, numbers are printed, lists are empty.
    pub fn text(self) -> Cow<'a, BStr> {
        todo!()
    }

    /// The elements of a list; none for anything else.
    pub fn elements(self) -> impl Iterator<Item = Cell<'a>> {
        std::iter::empty()
    }

    /// The entries of a dict, be it an object or a list of pairs.
    pub fn entries(self) -> impl Iterator<Item = (&'a BStr, Cell<'a>)> {
        std::iter::empty()
    }
}

/// Reads the rows of a JSON body, however it is split.
#[derive(Debug)]
pub struct RowReader {
    row: Row,
}

impl RowReader {
    /// A reader at the beginning of a body. A row may have up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let _ = limit;
        Self {
            row: Row::default(),
        }
    }

    /// Bytes of the body that came.
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }

    /// The next whole row, or `None` if more bytes are needed or the list has ended.
    pub fn poll_row(&mut self) -> Result<Option<&Row>, Error> {
        Ok(Some(&self.row))
    }

    /// Checks, when the body is over, that the list was closed.
    pub fn finish(&self) -> Result<(), Error> {
        todo!()
    }
}
