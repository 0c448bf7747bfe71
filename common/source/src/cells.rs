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

/// A moment. "Never" is 0 to some and -1 to Icinga 2.
///
/// What does not fit in 32 bits, because it is after January 2038, comes from
/// Icinga 2 as a negative number: on most machines the same one for all, which
/// is read as the last moment that fits; where it is the rest of a division by
/// 2^32, the moment itself is known.
pub fn time(cell: Cell<'_>) -> UnixTime {
    const OVERFLOWN: f64 = i32::MIN as f64;
    let seconds = match cell.float().unwrap_or(0.0) {
        OVERFLOWN => f64::from(i32::MAX),
        rest if rest < -1.0 && rest > OVERFLOWN => rest + 2_f64.powi(32),
        seconds => seconds.max(0.0),
    };
    UnixTime::from_micros((seconds * 1e6).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use livestatus::{Event, ResponseReader};

    #[test]
    fn moments_after_january_2038_are_not_never() {
        let cells = "[[0,-1,null,1795247616.5,2147483647,-2147483648,-2147483296]]";
        let answer = format!("200 {:11}\n{cells}\n", cells.len() + 1);
        let mut reader = ResponseReader::new(1000);
        reader.push(answer.as_bytes());
        let Ok(Event::Row(row)) = reader.poll_event() else {
            panic!("no row");
        };
        let times: Vec<i64> = (0..7).map(|at| time(row.cell(at)).secs()).collect();
        let last = 2_147_483_647;
        assert_eq!(times, [0, 0, 0, 1_795_247_616, last, last, 2_147_484_000]);
    }
}
