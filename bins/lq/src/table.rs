//! Tables for people.

use bstr::ByteSlice;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use livestatus::json;

/// A table with these names over its columns, as wide as the terminal allows.
pub(crate) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(names.into_iter().map(Cell::new));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// The table as text, without blanks at the ends of lines.
pub(crate) fn print(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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
        let mut table = new(["NAME", "STATE"]);
        table.add_row(["a long name", "0"]);
        assert_eq!(print(&table), "NAME         STATE\na long name  0\n");
    }
}
