//! A command cut into words, by the rules of the library that the original
//! uses: quotes, backslashes and comments as in a shell, and nothing else of it.

/// The words of a command. The text of an error is that library's, because it
/// is shown in the place of the plugin's output.
pub(super) fn split(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        if is_blank(c) {
            continue;
        }
        if c == '#' {
            // A word that begins so is a comment to the end of the line.
            while chars.next_if(|c| *c != '\n').is_some() {}
            continue;
        }
        let mut word = String::new();
        let mut next = Some(c);
        while let Some(c) = next.filter(|c| !is_blank(*c)) {
            match c {
                '\'' => loop {
                    match chars.next().ok_or(NOT_CLOSED)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                },
                '"' => loop {
                    match chars.next().ok_or(NOT_CLOSED)? {
                        '"' => break,
                        '\\' => word.push(chars.next().ok_or(NOTHING_ESCAPED)?),
                        c => word.push(c),
                    }
                },
                '\\' => word.push(chars.next().ok_or(NOTHING_ESCAPED)?),
                c => word.push(c),
            }
            next = chars.next();
        }
        words.push(word);
    }
    Ok(words)
}

const NOT_CLOSED: &str = "EOF found when expecting closing quote";
const NOTHING_ESCAPED: &str = "EOF found after escape character";

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_the_original_cuts_them() {
        for (command, want) in [
            ("", &[][..]),
            ("  \t", &[]),
            ("# all of it", &[]),
            ("a b", &["a", "b"]),
            ("  a\t b\n", &["a", "b"]),
            ("a # b\nc", &["a", "c"]),
            ("a#b", &["a#b"]),
            ("''", &[""]),
            ("'a b'c\"d e\"", &["a bcd e"]),
            (r#""a\"b\n" 'c\d'"#, &["a\"bn", r"c\d"]),
            (r"a\ b \# c\\", &["a b", "#", r"c\"]),
            ("$HOME *;|", &["$HOME", "*;|"]),
        ] {
            assert_eq!(split(command).unwrap(), want, "{command}");
        }
        for (command, why) in [
            ("a 'b", NOT_CLOSED),
            ("a \"b'", NOT_CLOSED),
            ("a\\", NOTHING_ESCAPED),
            ("\"a\\", NOTHING_ESCAPED),
        ] {
            assert_eq!(split(command).unwrap_err(), why, "{command}");
        }
    }
}
