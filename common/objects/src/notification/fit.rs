//! Notifications that are too long: cut, because whoever made them will not come
//! again.

use bstr::BString;

use super::{Context, Error, MAX_BODY, Notification, print_json_string};

/// What every spooler on the way may add to the body for its path.
const ROOM_FOR_PATH: usize = 4096;

impl Notification {
    /// Prints the body. What is too long for one is cut, long plugin output first;
    /// the variable [`CUT`] says what is left of which.
    pub fn print_to_fit(&mut self) -> Result<String, Error> {
        let limit = MAX_BODY - ROOM_FOR_PATH;
        loop {
            let len = match self.print() {
                Ok(body) if body.len() <= limit => return Ok(body),
                Ok(body) => body.len(),
                Err(Error::TooLarge(len)) => len,
                Err(error) => return Err(error),
            };
            // The note takes room as well.
            if !cut_longest(&mut self.context, len - limit + 256) {
                return Err(Error::TooLarge(len));
            }
        }
    }
}

/// The variable that says what was cut.
pub const CUT: &str = "SITEWIRE_CUT";
/// What a value that was cut ends with.
const MARK: &[u8] = b"[cut: too long]";
/// What every value may keep, as printed.
const KEPT: usize = 1024;

/// Takes about `excess` bytes off the longest value, the long output of a plugin
/// if there is one, and notes it. `false` if no value is worth cutting.
fn cut_longest(context: &mut Context, excess: usize) -> bool {
    let printed = |value: &BString| {
        let mut out = String::new();
        print_json_string(&mut out, value);
        out.len()
    };
    let worth = KEPT + MARK.len();
    let weight = |name: &str, len: usize| (name.starts_with("LONG") && len > worth, len);
    let longest = context
        .iter()
        .filter(|(name, _)| *name != CUT)
        .map(|(name, value)| (weight(name, printed(value)), name.clone()))
        .max();
    let Some(((_, len), name)) = longest.filter(|((_, len), _)| *len > worth) else {
        return false;
    };
    let target = len.saturating_sub(excess + MARK.len()).max(KEPT);
    let Some(value) = context.get_mut(&name) else {
        return false;
    };
    let (mut low, mut high) = (0, value.len());
    while low < high {
        let middle = (low + high).div_ceil(2);
        if printed(&value[..middle].into()) <= target {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    // Not through the middle of a character.
    while low > 0 && value.get(low).is_some_and(|b| b & 0xc0 == 0x80) {
        low -= 1;
    }
    let note = format!("{name}: {low} of {} bytes kept", value.len());
    value.truncate(low);
    value.extend_from_slice(MARK);
    let notes = context.entry(CUT.to_owned()).or_default();
    if !notes.is_empty() {
        notes.extend_from_slice(b"; ");
    }
    notes.extend_from_slice(note.as_bytes());
    true
}

#[cfg(test)]
mod tests {
    use bstr::ByteSlice;

    use super::*;

    #[test]
    fn the_long_output_is_cut_first_and_the_cut_is_noted() {
        let mut context = Context::new();
        context.insert("SERVICEOUTPUT".into(), vec![b'x'; 9000].into());
        context.insert("LONGSERVICEOUTPUT".into(), "ä".repeat(3000).into());
        assert!(cut_longest(&mut context, 1001));
        let long = &context["LONGSERVICEOUTPUT"];
        assert!(
            long.to_str().is_ok() && (4900..=5000).contains(&long.len()),
            "{}",
            long.len()
        );
        assert_eq!(context["SERVICEOUTPUT"].len(), 9000);
        let note = context[CUT].to_string();
        assert!(
            note.contains("LONGSERVICEOUTPUT") && note.contains("of 6000 bytes"),
            "{note}"
        );
        assert!(cut_longest(&mut context, 1 << 20) && cut_longest(&mut context, 1 << 20));
        assert!(!cut_longest(&mut context, 1 << 20));
    }
}
