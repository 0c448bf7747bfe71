//! Numbers in foreign text, read as C's `atoi` and `strtod` read them, because
//! clients rely on it (`state >= 0 as n`, `last_update >= 1795219632.8`).

/// The leading integer; no digits is 0, and what is out of range is the nearest
/// number in range.
pub(crate) fn leading_int(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let mut number: i64 = 0;
    for b in digits.iter().take_while(|b| b.is_ascii_digit()) {
        let digit = i64::from(b - b'0');
        number = number.saturating_mul(10);
        number = if negative {
            number.saturating_sub(digit)
        } else {
            number.saturating_add(digit)
        };
    }
    number
}

/// The leading decimal number; none is 0.
pub(crate) fn leading_float(text: &[u8]) -> f64 {
    let text = text.trim_ascii_start();
    let mut end = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = |from: usize| {
        text[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    end += digits(end);
    if text.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        match digits(end + 1 + sign) {
            0 => {}
            count => end += 1 + sign + count,
        }
    }
    parse_float(&text[..end]).unwrap_or(0.0)
}

/// The whole text as a finite number.
pub(crate) fn parse_float(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// The whole text as a number without sign.
pub(crate) fn parse_count(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Appends a whole number.
pub(crate) fn push_int(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends the shortest text that reads back as the same number, which must be
/// finite.
pub(crate) fn push_float(out: &mut Vec<u8>, number: f64) {
    use std::io::Write;
    if push_short_float(out, number) {
        return;
    }
    write!(out, "{number:?}").expect("a vector takes everything");
}

/// Appends a number that has at most six decimals, which most have, without
/// searching for the shortest text: with no more than fifteen digits there is
/// only one.
fn push_short_float(out: &mut Vec<u8>, number: f64) -> bool {
    const SCALE: f64 = 1e6;
    if number.abs() >= 1e9 || number.is_sign_negative() && number == 0.0 {
        return false;
    }
    let millionths = (number * SCALE).round();
    if millionths / SCALE != number {
        return false;
    }
    let millionths = millionths as i64;
    if millionths < 0 {
        out.push(b'-');
    }
    let (whole, fraction) = (
        millionths.unsigned_abs() / 1_000_000,
        millionths.unsigned_abs() % 1_000_000,
    );
    push_int(out, whole as i64);
    out.push(b'.');
    let (mut digits, mut rest) = ([b'0'; 6], fraction);
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    let significant = digits.iter().rposition(|digit| *digit != b'0');
    out.extend_from_slice(&digits[..significant.unwrap_or(0) + 1]);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leading_integer_counts() {
        for (text, want) in [
            ("", 0),
            ("x", 0),
            ("7", 7),
            ("0 as n", 0),
            (" -12.5", -12),
            ("+3", 3),
            ("1795219632.804734", 1_795_219_632),
            ("99999999999", 99_999_999_999),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", i64::MIN),
        ] {
            assert_eq!(leading_int(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn the_leading_float_counts() {
        for (text, want) in [
            ("", 0.0),
            ("x", 0.0),
            ("1.5", 1.5),
            ("-.5", -0.5),
            ("2.", 2.0),
            ("1e3x", 1000.0),
            ("1e", 1.0),
            ("inf", 0.0),
            ("nan", 0.0),
            ("1e999", 0.0),
        ] {
            assert_eq!(leading_float(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn numbers_are_printed_in_their_shortest_form() {
        let mut numbers = vec![
            0.0,
            -0.0,
            1.0,
            -1.5,
            0.000_001,
            -0.000_943,
            1e9,
            999_999_999.999_999,
        ];
        for exponent in -8..12 {
            for digits in [1.0, 3.0, 12.0, 1.23, 7.000_001, 0.1 + 0.2, 1.0 / 3.0] {
                numbers.extend([
                    digits * 10_f64.powi(exponent),
                    -digits * 10_f64.powi(exponent),
                ]);
            }
        }
        for number in numbers {
            let mut out = Vec::new();
            push_float(&mut out, number);
            let printed = String::from_utf8(out).unwrap();
            if printed.contains('e') {
                assert_eq!(printed, format!("{number:?}"));
            } else {
                let shortest = format!("{number}");
                let point = if shortest.contains('.') { "" } else { ".0" };
                assert_eq!(printed, format!("{shortest}{point}"));
            }
        }
    }

    #[test]
    fn printed_numbers_read_back() {
        for number in [0, 7, -7, 10, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_int(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
        for number in [0.0, 0.9, 1e300, 1e-7, 123_456.789, 0.1 + 0.2] {
            let mut out = Vec::new();
            push_float(&mut out, number);
            assert_eq!(parse_float(&out), Some(number));
        }
    }
}
