//! Rows as Python prints them. They are made here and not asked for: servers
//! know different dialects of it, or none.

use std::borrow::Cow;

use livestatus::json::{Cell, Row};
use nagios::python::print_str;

/// A list of rows, built row by row.
#[derive(Default)]
pub(crate) struct List {
    begun: bool,
}

impl List {
    /// The next row, with what stands before it.
    pub(crate) fn row(&mut self, row: &Row) -> Vec<u8> {
        let before: &[u8] = if self.begun { b",\n" } else { b"[" };
        self.begun = true;
        let mut out = before.to_vec();
        print_list(row.cells(), &mut out);
        out
    }

    /// What stands after the last row.
    pub(crate) fn end(&self) -> &'static [u8] {
        if self.begun { b"]\n" } else { b"[]\n" }
    }
}

fn print_list<'a>(cells: impl Iterator<Item = Cell<'a>>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        print(cell, out);
    }
    out.push(b']');
}

fn print(cell: Cell<'_>, out: &mut Vec<u8>) {
    if cell.is_null() {
        return out.extend(b"None");
    }
    if cell.is_list() {
        let is_dict = cell.elements().next().is_none() && cell.entries().next().is_some();
        if !is_dict {
            return print_list(cell.elements(), out);
        }
        out.push(b'{');
        for (index, (name, value)) in cell.entries().enumerate() {
            if index > 0 {
                out.extend(b", ");
            }
            print_str(&name, out);
            out.extend(b": ");
            print(value, out);
        }
        return out.push(b'}');
    }
    match cell.text() {
        Cow::Borrowed(text) => print_str(text, out),
        // Only numbers have to be printed first.
        Cow::Owned(number) => out.extend_from_slice(&number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bstr::BString;

    fn reprinted(json: &str) -> BString {
        let mut reader = livestatus::json::RowReader::new(1000);
        reader.push(json.as_bytes());
        let mut list = List::default();
        let mut out = Vec::new();
        while let Some(row) = reader.poll_row().unwrap() {
            out.extend(list.row(row));
        }
        out.extend(list.end());
        out.into()
    }

    #[test]
    fn rows_are_python_literals() {
        for (json, want) in [
            ("[]", "[]\n"),
            (
                r#"[["a", 7, 0.5, null, true], ["it's", [], ["x", ["y", 1]], {"A": "b"}]]"#,
                "[['a', 7, 0.5, None, 1],\n[\"it's\", [], ['x', ['y', 1]], {'A': 'b'}]]\n",
            ),
            (
                r#"[["12", "\u00fc", "\ud83d\ude00", -nan]]"#,
                "[['12', '\\xfc', '\\U0001f600', None]]\n",
            ),
        ] {
            assert_eq!(reprinted(json), want, "{json}");
        }
    }
}
