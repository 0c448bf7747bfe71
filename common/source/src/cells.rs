//! What a cell of an answer says, as far as it says it.

use bstr::BString;
use livestatus::json::Cell;
use objects::UnixTime;

/// Its text, in the place of another one.
pub fn put(text: &mut BString, cell: Cell<'_>) {
    text.clear();
    text.extend_from_slice(&cell.text());
}

/// Its text.
pub fn text(cell: Cell<'_>) -> BString {
    cell.text().into_owned()
}

/// Whether it is a number other than 0.
pub fn is_true(cell: Cell<'_>) -> bool {
    cell.int().is_some_and(|number| number != 0)
}

/// A number from 0 up; 0 for anything else.
pub fn count<N: TryFrom<i64> + Default>(cell: Cell<'_>) -> N {
    N::try_from(cell.int().unwrap_or(0)).unwrap_or_default()
}

/// "Never" is 0 to some and -1 to Icinga 2.
pub fn time(cell: Cell<'_>) -> UnixTime {
    let seconds = cell.float().unwrap_or(0.0).max(0.0);
    UnixTime::from_micros((seconds * 1e6).round() as i64)
}
