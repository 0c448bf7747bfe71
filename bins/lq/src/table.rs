//! Tables for people.

use bstr::ByteSlice;
use livestatus::json;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::screen::Screen;

/// Blanks between columns.
const GAP: usize = 2;
/// No column is cut to less than this.
const LEAST: usize = 4;

pub(crate) struct Table {
    names: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

/// What a cell's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Name,
    Good,
    Warning,
    Bad,
    Odd,
    Pending,
}

impl Paint {
    /// The parameter of the terminal's "select graphic rendition".
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Name => Some("1"),
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
            Self::Odd => Some("35"),
            Self::Pending => Some("36"),
        }
    }
}

impl Cell {
    /// A text of ours, or one that [`show`] has made harmless.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::painted(text, Paint::Plain)
    }

    pub(crate) fn painted(text: impl Into<String>, paint: Paint) -> Self {
        let text = text.into();
        Self { text, paint }
    }
}

impl Table {
    /// A table with these names over its columns.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self {
            names: names
                .into_iter()
                .map(|name| Cell::painted(name, Paint::Name))
                .collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// The table as text, without blanks at the ends of lines. Where the
    /// screen has a width, the longest columns are cut to fit.
    pub(crate) fn print(&self, screen: &Screen) -> String {
        let mut widths = self.widths();
        if let Some(size) = screen.size {
            fit(&mut widths, size.width);
        }
        let mut text = String::new();
        for row in std::iter::once(&self.names).chain(&self.rows) {
            print_row(row, &widths, screen.color, &mut text);
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::new();
        for row in std::iter::once(&self.names).chain(&self.rows) {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        widths
    }
}

/// Cuts the longest columns to one width, such that all fit.
fn fit(widths: &mut [usize], total: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    let room = total.saturating_sub(gaps);
    if widths.iter().sum::<usize>() <= room {
        return;
    }
    let mut sorted = widths.to_vec();
    sorted.sort_unstable();
    let mut left = room;
    let mut limit = room;
    for (index, width) in sorted.iter().enumerate() {
        limit = left / (sorted.len() - index);
        if *width > limit {
            break;
        }
        left -= width;
    }
    for width in widths {
        *width = (*width).min(limit.max(LEAST));
    }
}

fn print_row(row: &[Cell], widths: &[usize], color: bool, text: &mut String) {
    let start = text.len();
    let mut missing = 0;
    for (cell, width) in row.iter().zip(widths) {
        let shown = cut(&cell.text, *width);
        if !shown.is_empty() {
            text.extend(std::iter::repeat_n(' ', missing));
            missing = 0;
            match cell.paint.code().filter(|_| color) {
                Some(code) => text.extend(["\x1b[", code, "m", &shown, "\x1b[0m"]),
                None => text.push_str(&shown),
            }
        }
        missing += width.saturating_sub(shown.width()) + GAP;
    }
    let end = start + text[start..].trim_end().len();
    text.truncate(end);
    text.push('\n');
}

/// As much of a text as fits, with an ellipsis if that is not all.
pub(crate) fn cut(text: &str, width: usize) -> std::borrow::Cow<'_, str> {
    if text.width() <= width {
        return text.into();
    }
    let mut used = 1;
    let mut kept = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept.into()
}

/// A cell of an answer, fit for a terminal: lists with commas, dicts with `=`,
/// control characters and bytes that are not UTF-8 replaced.
pub(crate) fn show(cell: json::Cell<'_>) -> String {
    if !cell.is_list() {
        return visible(&cell.text());
    }
    let entries: Vec<String> = cell
        .entries()
        .map(|(name, value)| format!("{}={}", visible(&name), show(value)))
        .collect();
    if cell.elements().next().is_none() {
        return entries.join(", ");
    }
    let elements: Vec<String> = cell
        .elements()
        .map(|element| {
            let parts: Vec<String> = element.elements().map(show).collect();
            if element.is_list() {
                parts.join("|")
            } else {
                show(element)
            }
        })
        .collect();
    elements.join(", ")
}

fn visible(text: &[u8]) -> String {
    text.to_str_lossy()
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Size;

    const PIPE: Screen = Screen {
        size: None,
        color: false,
        redraws: false,
    };

    fn terminal(width: usize) -> Screen {
        let size = Some(Size { width, height: 24 });
        Screen { size, ..PIPE }
    }

    fn table(names: &[&str], rows: &[&[&str]]) -> Table {
        let mut table = Table::new(names.iter().copied());
        for row in rows {
            table.push(row.iter().map(|text| Cell::plain(*text)).collect());
        }
        table
    }

    #[test]
    fn cells_are_readable_and_harmless() {
        let mut reader = json::RowReader::new(1000);
        reader.push(
            br#"[["a\u001b[2J", 7, 0.5, null, ["x","y"], [["CPU",1],["Disk",0]], {"A":"b"}, []]]"#,
        );
        let row = reader.poll_row().unwrap().unwrap();
        let cells: Vec<String> = row.cells().map(show).collect();
        assert_eq!(
            cells,
            [
                "a\u{fffd}[2J",
                "7",
                "0.5",
                "",
                "x, y",
                "CPU|1, Disk|0",
                "A=b",
                ""
            ]
        );
    }

    #[test]
    fn lines_do_not_end_with_blanks() {
        let table = table(&["NAME", "STATE", "X"], &[&["a long name", "0", ""]]);
        let want = "NAME         STATE  X\na long name  0\n";
        assert_eq!(table.print(&PIPE), want);
    }

    #[test]
    fn the_longest_columns_are_cut_to_the_width() {
        let output = "DISK CRITICAL - free space: / 12 MB (0.1%)";
        let table = table(&["HOST", "OUTPUT"], &[&["db1", output], &["db2", "fine"]]);
        assert_eq!(
            table.print(&terminal(20)),
            "HOST  OUTPUT\ndb1   DISK CRITICAL…\ndb2   fine\n"
        );
        let whole = format!("HOST  OUTPUT\ndb1   {output}\ndb2   fine\n");
        assert_eq!(table.print(&terminal(48)), whole);
        assert_eq!(table.print(&PIPE), whole);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let wide = "東京のサーバー".repeat(5);
        let table = table(
            &["A", "B", "C"],
            &[&["x", &wide, "plain"], &[&wide, "y", &"z".repeat(90)]],
        );
        for width in 16..120 {
            for line in table.print(&terminal(width)).lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn colours_do_not_count() {
        let mut table = Table::new(["STATE", "X"]);
        table.push(vec![Cell::painted("OK", Paint::Good), Cell::plain("y")]);
        let screen = Screen {
            color: true,
            ..terminal(80)
        };
        assert_eq!(
            table.print(&screen),
            "\x1b[1mSTATE\x1b[0m  \x1b[1mX\x1b[0m\n\x1b[32mOK\x1b[0m     y\n"
        );
    }
}
