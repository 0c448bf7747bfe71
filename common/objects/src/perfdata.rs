//! Performance data and threshold ranges, after the Monitoring Plugins
//! guidelines.
//!
//! `'label'=value[unit];[warn];[crit];[min];[max]`, metrics parted by blanks.
//! A range is `[@][start:][end]`: without `start:` it begins at 0, `~` is
//! minus infinity, an empty end is infinity. It alerts outside, with `@` inside.

use std::fmt;

use bstr::{BStr, BString, ByteSlice};

use crate::ServiceState;

/// More metrics than this in one text are refused.
pub const MAX_METRICS: usize = 10_000;

/// Longest number, in bytes: the smallest takes that many when it is printed.
const MAX_NUMBER: usize = 400;

/// How much of a wrong text an error shows, in bytes.
const MAX_EXCERPT: usize = 64;

/// All metrics of one check result, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Perfdata {
    /// The metrics.
    pub metrics: Vec<Metric>,
}

/// One measured value with its thresholds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metric {
    /// Its name, without quotes.
    pub label: BString,
    /// The value; `None` is printed as `U`, for a value that could not be determined.
    pub value: Option<f64>,
    /// Unit of measurement: empty, `s`, `%`, `B`, `c` and the like.
    pub unit: BString,
    /// Range beyond which it is a warning.
    pub warn: Option<Range>,
    /// Range beyond which it is critical.
    pub crit: Option<Range>,
    /// Least possible value.
    pub min: Option<f64>,
    /// Greatest possible value.
    pub max: Option<f64>,
}

/// A threshold: the values that are fine, or with `inside` those that are not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    start: f64,
    end: f64,
    inside: bool,
}

/// The two thresholds of a value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Thresholds {
    /// Beyond it: warning.
    pub warn: Option<Range>,
    /// Beyond it: critical.
    pub crit: Option<Range>,
}

/// The text is not performance data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPerfdata(BString);

/// The text is not a threshold range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRange(BString);

impl Perfdata {
    /// Parses what follows the `|` of a plugin's output. An empty text is no metrics.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidPerfdata> {
        let mut metrics = Vec::new();
        let mut rest = text.trim_ascii();
        while !rest.is_empty() {
            if metrics.len() == MAX_METRICS {
                return Err(InvalidPerfdata::at(rest));
            }
            let (metric, after) = split_metric(rest).ok_or_else(|| InvalidPerfdata::at(rest))?;
            metrics.push(metric);
            rest = after.trim_ascii_start();
        }
        Ok(Self { metrics })
    }

    /// Adds a metric.
    pub fn push(&mut self, metric: Metric) {
        self.metrics.push(metric);
    }

    /// The text, with one blank between metrics.
    pub fn print(&self) -> BString {
        let mut out = Vec::new();
        for metric in &self.metrics {
            if !out.is_empty() {
                out.push(b' ');
            }
            metric.print_to(&mut out);
        }
        out.into()
    }
}

impl Metric {
    /// A metric without thresholds and limits.
    pub fn new(label: impl Into<BString>, value: f64, unit: impl Into<BString>) -> Self {
        Self {
            label: label.into(),
            value: Some(value),
            unit: unit.into(),
            ..Self::default()
        }
    }

    /// The same with thresholds.
    pub fn thresholds(self, thresholds: Thresholds) -> Self {
        Self {
            warn: thresholds.warn,
            crit: thresholds.crit,
            ..self
        }
    }

    /// The same with least and greatest possible value.
    pub fn limits(self, min: Option<f64>, max: Option<f64>) -> Self {
        Self { min, max, ..self }
    }

    fn print_to(&self, out: &mut Vec<u8>) {
        print_label(self.label.as_bstr(), out);
        out.push(b'=');
        match self.value.filter(|value| value.is_finite()) {
            Some(value) => {
                out.extend_from_slice(value.to_string().as_bytes());
                out.extend_from_slice(&self.unit);
            }
            None => out.push(b'U'),
        }
        let number = |number: Option<f64>| number.map_or(String::new(), |n| n.to_string());
        let range = |range: Option<Range>| range.map_or(String::new(), |r| r.to_string());
        let fields = [
            range(self.warn),
            range(self.crit),
            number(self.min),
            number(self.max),
        ];
        let used = fields.iter().rposition(|field| !field.is_empty());
        for field in fields.iter().take(used.map_or(0, |last| last + 1)) {
            out.push(b';');
            out.extend_from_slice(field.as_bytes());
        }
    }
}

impl Range {
    /// Alerts below `start` and above `end`. `None` for a range that is not
    /// one: not numbers, or the start after the end.
    pub fn outside(start: f64, end: f64) -> Option<Self> {
        Self::new(start, end, false)
    }

    /// Alerts from `start` to `end`, both included.
    pub fn inside(start: f64, end: f64) -> Option<Self> {
        Self::new(start, end, true)
    }

    /// Alerts below 0 and above `end`: the plain number of the guidelines.
    pub fn up_to(end: f64) -> Option<Self> {
        Self::outside(0.0, end)
    }

    /// Alerts below `start`: `start:`.
    pub fn at_least(start: f64) -> Option<Self> {
        Self::outside(start, f64::INFINITY)
    }

    fn new(start: f64, end: f64, inside: bool) -> Option<Self> {
        // A comparison with NaN is false.
        (start <= end && start < f64::INFINITY && end > f64::NEG_INFINITY).then_some(Self {
            start,
            end,
            inside,
        })
    }

    /// Parses `10`, `10:`, `~:10`, `10:20`, `@10:20`.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidRange> {
        let invalid = || InvalidRange(text[..text.len().min(MAX_EXCERPT)].into());
        let (inside, bounds) = match text.strip_prefix(b"@") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (start, end) = match bounds.split_once_str(":") {
            None => (0.0, number(bounds).ok_or_else(invalid)?),
            Some((start, end)) => {
                let start = match start {
                    b"~" => f64::NEG_INFINITY,
                    // `:10` is written by many plugins and means `0:10`.
                    b"" if !end.is_empty() => 0.0,
                    _ => number(start).ok_or_else(invalid)?,
                };
                let end = match end {
                    b"" => f64::INFINITY,
                    _ => number(end).ok_or_else(invalid)?,
                };
                (start, end)
            }
        };
        Self::new(start, end, inside).ok_or_else(invalid)
    }

    /// Whether `value` is one to complain about. What is not a number always is.
    pub fn alerts(&self, value: f64) -> bool {
        if value.is_nan() {
            return true;
        }
        (self.start <= value && value <= self.end) == self.inside
    }
}

impl Thresholds {
    /// Both thresholds as texts; an empty one is none.
    pub fn parse(warn: &[u8], crit: &[u8]) -> Result<Self, InvalidRange> {
        let range = |text: &[u8]| match text {
            b"" => Ok(None),
            _ => Range::parse(text).map(Some),
        };
        Ok(Self {
            warn: range(warn)?,
            crit: range(crit)?,
        })
    }

    /// The state of a service with this value. Critical is tested first.
    pub fn state(&self, value: f64) -> ServiceState {
        let alerts = |range: Option<Range>| range.is_some_and(|range| range.alerts(value));
        if alerts(self.crit) {
            ServiceState::Crit
        } else if alerts(self.warn) {
            ServiceState::Warn
        } else {
            ServiceState::Ok
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inside {
            f.write_str("@")?;
        }
        if self.start == f64::NEG_INFINITY {
            f.write_str("~:")?;
        } else if self.start != 0.0 || self.end == f64::INFINITY {
            write!(f, "{}:", self.start)?;
        }
        if self.end < f64::INFINITY {
            write!(f, "{}", self.end)?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Range {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

impl InvalidPerfdata {
    fn at(rest: &[u8]) -> Self {
        Self(rest[..rest.len().min(MAX_EXCERPT)].into())
    }
}

impl fmt::Display for InvalidPerfdata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no performance data at {:?}", self.0)
    }
}

impl std::error::Error for InvalidPerfdata {}

impl fmt::Display for InvalidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a threshold range: 10, 10:, ~:10, 10:20 or @10:20",
            self.0
        )
    }
}

impl std::error::Error for InvalidRange {}

/// Takes one metric off the front of `text`.
fn split_metric(text: &[u8]) -> Option<(Metric, &[u8])> {
    let (label, rest) = split_label(text)?;
    let end = rest.find_byteset(b" \t\r\n").unwrap_or(rest.len());
    let (fields, rest) = rest.split_at(end);
    let mut fields = fields.split(|b| *b == b';');
    let (value, unit) = value_and_unit(fields.next()?)?;
    let forbidden = |b: &u8| *b == b'|' || b.is_ascii_control();
    if label.iter().chain(unit.iter()).any(forbidden) {
        return None;
    }
    let thresholds = Thresholds::parse(
        fields.next().unwrap_or_default(),
        fields.next().unwrap_or_default(),
    )
    .ok()?;
    let mut limit = || match fields.next() {
        None | Some(b"") => Some(None),
        Some(text) => number(text).map(Some),
    };
    let (min, max) = (limit()?, limit()?);
    // A trailing `;` is common, anything behind it is not ours to interpret.
    if fields.any(|field| !field.is_empty()) {
        return None;
    }
    let metric = Metric {
        label,
        value,
        unit,
        warn: thresholds.warn,
        crit: thresholds.crit,
        min,
        max,
    };
    Some((metric, rest))
}

/// The label and what follows the `=`.
fn split_label(text: &[u8]) -> Option<(BString, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"'") else {
        let (label, rest) = text.split_once_str("=")?;
        let plain = !label.is_empty() && !label.iter().any(u8::is_ascii_whitespace);
        return plain.then(|| (label.into(), rest));
    };
    let mut label = Vec::new();
    let mut bytes = quoted;
    loop {
        let quote = bytes.find_byte(b'\'')?;
        label.extend_from_slice(&bytes[..quote]);
        bytes = &bytes[quote + 1..];
        match bytes.strip_prefix(b"'") {
            Some(rest) => {
                label.push(b'\'');
                bytes = rest;
            }
            None => break,
        }
    }
    let rest = bytes.strip_prefix(b"=")?;
    (!label.is_empty()).then(|| (label.into(), rest))
}

fn value_and_unit(field: &[u8]) -> Option<(Option<f64>, BString)> {
    if field == b"U" {
        return Some((None, BString::default()));
    }
    let unit_at = number_length(field);
    let value = number(&field[..unit_at])?;
    let unit = &field[unit_at..];
    let in_number = |b: &u8| b.is_ascii_digit() || b"+-.'\"".contains(b);
    (!unit.iter().any(in_number)).then(|| (Some(value), unit.into()))
}

/// How many bytes at the front belong to a number. An `e` does only when
/// digits follow, so that no unit is swallowed.
fn number_length(text: &[u8]) -> usize {
    let digits = |from: usize, more: &[u8]| {
        from + text[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit() || more.contains(b))
            .count()
    };
    let sign = |at: usize| usize::from(matches!(text.get(at), Some(b'+' | b'-')));
    let mantissa = digits(sign(0), b".");
    if !matches!(text.get(mantissa), Some(b'e' | b'E')) {
        return mantissa;
    }
    let exponent = mantissa + 1 + sign(mantissa + 1);
    match digits(exponent, b"") {
        end if end > exponent => end,
        _ => mantissa,
    }
}

/// A finite decimal number; unlike Rust's own parsing not `inf` or `nan`.
fn number(text: &[u8]) -> Option<f64> {
    let allowed = |b: &u8| b.is_ascii_digit() || b"+-.eE".contains(b);
    if text.len() > MAX_NUMBER || !text.iter().all(allowed) {
        return None;
    }
    let number: f64 = text.to_str().ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

fn print_label(label: &BStr, out: &mut Vec<u8>) {
    let special = |b: &u8| b.is_ascii_whitespace() || b"'=;|".contains(b) || b.is_ascii_control();
    if !label.is_empty() && !label.iter().any(special) {
        out.extend_from_slice(label);
        return;
    }
    out.push(b'\'');
    for b in label.iter() {
        match b {
            b'\'' => out.extend_from_slice(b"''"),
            // A bar would end the output, a control character the line.
            b'|' => out.push(b'_'),
            b if b.is_ascii_control() => out.push(b' '),
            b => out.push(*b),
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_alert_as_the_guidelines_say() {
        for (text, alert, fine) in [
            ("10", &[-0.1, 10.1][..], &[0.0, 10.0][..]),
            ("10:", &[9.9, -1.0], &[10.0, 1e18]),
            ("~:10", &[10.1], &[10.0, -1e18]),
            ("10:20", &[9.0, 21.0], &[10.0, 20.0]),
            ("@10:20", &[10.0, 15.0, 20.0], &[9.9, 20.1]),
            ("@20", &[0.0, 20.0], &[-1.0, 21.0]),
            ("-60:60", &[-61.0, 61.0], &[-60.0, 0.0]),
            (":5", &[-1.0, 6.0], &[0.0, 5.0]),
            ("1:1", &[0.0, 2.0], &[1.0]),
            ("0", &[1.0, -1.0], &[0.0]),
        ] {
            let range: Range = text.parse().unwrap();
            for value in alert {
                assert!(range.alerts(*value), "{text} alerts for {value}");
            }
            for value in fine {
                assert!(!range.alerts(*value), "{text} is fine with {value}");
            }
            assert!(
                range.alerts(f64::NAN),
                "{text} alerts for what is no number"
            );
        }
    }

    #[test]
    fn ranges_print_as_they_were_written() {
        for text in [
            "10", "10:", "~:10", "10:20", "@10:20", "-60:60", "0.5:1.25", "0:",
        ] {
            assert_eq!(text.parse::<Range>().unwrap().to_string(), text);
        }
        assert_eq!("0:10".parse::<Range>().unwrap().to_string(), "10");
        assert_eq!("~:".parse::<Range>().unwrap().to_string(), "~:");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "", "@", ":", "~", "a", "20:10", "10:~", "1:2:3", "nan", "inf", "10,5", "10 ", "1e999",
        ] {
            assert!(Range::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Range::outside(f64::NAN, 1.0).is_none());
        assert!(Range::inside(2.0, 1.0).is_none());
    }

    #[test]
    fn critical_is_tested_first() {
        let thresholds = Thresholds::parse(b"80", b"90").unwrap();
        for (value, state) in [
            (80.0, ServiceState::Ok),
            (80.1, ServiceState::Warn),
            (90.1, ServiceState::Crit),
        ] {
            assert_eq!(thresholds.state(value), state, "{value}");
        }
        let none = Thresholds::parse(b"", b"").unwrap();
        assert_eq!(none.state(1e9), ServiceState::Ok);
    }

    #[test]
    fn perfdata_survives_parsing_and_printing() {
        for text in [
            "",
            "load1=0.42;4;6;0",
            "'used %'=41.3389%;80;90;0;100 free=29225185280B",
            "'it''s'=1",
            "'a=b'=1s 'c d'=U;;1:",
            "in=17c;;;0",
            "rate=-0.5;~:10;@10:20;-1;1",
            &format!("huge={}", f64::MAX),
            &format!("tiny={}", 1.234_567_890_123_456_7e-308),
        ] {
            let perfdata = Perfdata::parse(text.as_bytes()).unwrap();
            assert_eq!(perfdata.print(), text, "{text}");
        }
    }

    #[test]
    fn odd_but_common_forms_are_read() {
        for (text, value, unit) in [
            ("a=1.5e3KB;", 1500.0, "KB"),
            ("a=1.;;;;", 1.0, ""),
            ("a=.5s", 0.5, "s"),
            ("  a=2eggs  ", 2.0, "eggs"),
            ("a=+3ms;;;0;\n", 3.0, "ms"),
        ] {
            let perfdata = Perfdata::parse(text.as_bytes()).unwrap();
            let [metric] = perfdata.metrics.as_slice() else {
                panic!("{text}: one metric expected");
            };
            assert_eq!(metric.value, Some(value), "{text}");
            assert_eq!(metric.unit, unit, "{text}");
        }
    }

    #[test]
    fn what_is_no_perfdata_is_refused() {
        for text in [
            "a",
            "=1",
            "a=",
            "a=x",
            "'a=1",
            "'a'1",
            "''=1",
            "a b=1",
            "a=1;x",
            "a=1;;;;;1",
            "a=nan",
            "a|=1",
            "'a\nb'=1",
            "a=1|",
            "a=1-2",
            "a=5e5.",
        ] {
            assert!(Perfdata::parse(text.as_bytes()).is_err(), "{text}");
        }
        let many = "a=1 ".repeat(MAX_METRICS + 1);
        assert!(Perfdata::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn labels_cannot_leave_their_place() {
        let mut perfdata = Perfdata::default();
        perfdata.push(Metric::new("a|b\n'c", 1.0, "%"));
        perfdata.push(Metric::new("nan", f64::NAN, "%"));
        assert_eq!(perfdata.print(), "'a_b ''c'=1% nan=U");
    }
}
