//! Files of settings: statements that give names to literals.

use bstr::{BString, ByteSlice};

use super::{Limits, Reader, Value};
use crate::Error;

/// Reads `NAME = LITERAL`, `NAME += LITERAL` and `NAME.update(LITERAL)`, in any
/// number; returns each name with its value in the end, in the order of their
/// first mention. Nothing else is read, and nothing is evaluated: what a file adds
/// to a name that it has not set itself is the whole value here.
pub fn parse_assignments(text: &[u8], limits: Limits) -> Result<Vec<(BString, Value)>, Error> {
    let mut reader = Reader::new(text, limits)?;
    let mut names: Vec<(BString, Value)> = Vec::new();
    loop {
        reader.skip_blank_lines()?;
        if reader.is_at_end() {
            return Ok(names);
        }
        let at = reader.at();
        let name = reader.take_name();
        if name.is_empty() || name[0].is_ascii_digit() {
            return Err(reader.syntax(at, "expected a name: only settings are read"));
        }
        let known = names.iter().position(|(known, _)| known == name);
        let (adds, value) = read_rest(&mut reader, name)?;
        reader.end_statement()?;
        match known {
            None => names.push((name.into(), value)),
            Some(index) if adds => {
                add(&mut names[index].1, value).map_err(|what| reader.syntax(at, what))?;
            }
            Some(index) => names[index].1 = value,
        }
    }
}

/// Reads what follows the name; also tells whether it adds to the value.
fn read_rest(reader: &mut Reader<'_>, name: &[u8]) -> Result<(bool, Value), Error> {
    reader.skip_blanks()?;
    if reader.take(b'=') {
        return Ok((false, reader.value()?));
    }
    if reader.take(b'+') {
        if !reader.take(b'=') {
            return Err(reader.unexpected("`=`"));
        }
        return Ok((true, reader.value()?));
    }
    if reader.take(b'.') && reader.take_name() == b"update" {
        return Ok((true, reader.call(Reader::value)?));
    }
    let name = name.as_bstr();
    let wanted = format!("` = ...`, ` += ...` or `.update(...)` behind `{name}`");
    Err(reader.unexpected(&wanted))
}

fn add(to: &mut Value, more: Value) -> Result<(), String> {
    match (to, more) {
        (Value::Dict(entries), Value::Dict(more)) => {
            for (key, value) in more {
                match entries.iter_mut().find(|(known, _)| *known == key) {
                    Some(entry) => entry.1 = value,
                    None => entries.push((key, value)),
                }
            }
            Ok(())
        }
        (Value::List(items), Value::List(more)) => {
            items.extend(more);
            Ok(())
        }
        (to, more) => Err(format!(
            "a {} cannot be added to a {}",
            more.type_name(),
            to.type_name()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Error> {
        let names = parse_assignments(text.as_bytes(), Limits::default())?;
        let mut out = Vec::new();
        for (name, value) in names {
            out.extend_from_slice(&name);
            out.push(b'=');
            value.print(&mut out);
            out.push(b';');
        }
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn settings_are_read_in_their_order() {
        for (text, want) in [
            ("", ""),
            ("# only a comment\n\n", ""),
            ("a = 1\nb = {'x': [1,\n 2]}\n", "a=1;b={'x': [1, 2]};"),
            ("a = 1; a = 2 # again", "a=2;"),
            (
                "a = {'x': 1}\na.update({'y': 2, 'x': 3})",
                "a={'x': 3, 'y': 2};",
            ),
            ("a.update({'y': 2})", "a={'y': 2};"),
            ("a = [1]\na += [2]", "a=[1, 2];"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(want), "{text:?}");
        }
    }

    #[test]
    fn what_would_have_to_be_evaluated_is_refused_with_its_place() {
        for (text, want) in [
            (
                "import os",
                "1:8: expected ` = ...`, ` += ...` or `.update(...)` behind `import`, found `o`",
            ),
            (
                "a = os.getcwd()",
                "1:5: `os` is not a literal, and nothing else is read",
            ),
            (
                "\n a = 1 + 2",
                "2:8: expected the end of the statement, found `+`",
            ),
            (
                "a.clear()",
                "1:8: expected ` = ...`, ` += ...` or `.update(...)` behind `a`, found `(`",
            ),
            ("a = {}\na += [1]", "2:1: a list cannot be added to a dict"),
            ("(1)", "1:1: expected a name: only settings are read"),
            ("1 = 2", "1:1: expected a name: only settings are read"),
            ("a = ", "1:5: expected a value, found the end of the text"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), want, "{text:?}");
        }
    }
}
