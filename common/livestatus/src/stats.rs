//! Statistics: what a `Stats` header asks for, and its value over the rows of a
//! group, taken in one by one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice};

use crate::error::{Error, excerpt};
use crate::filter::{Compiler, Filter, Matcher};
use crate::number::parse_float;
use crate::value::{ColumnType, Value};

/// One column of an answer with `Stats`.
#[derive(Debug, Clone, PartialEq)]
pub enum Stat {
    /// The number of rows that pass.
    Count(Filter),
    /// A figure calculated from the values of a column.
    Aggregate {
        /// What is calculated.
        aggregation: Aggregation,
        /// Name of the column.
        column: String,
    },
}

/// What is calculated from numbers. Of no numbers it is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Their mean.
    Avg,
    /// Their sample deviation.
    Std,
    /// The sum of their inverses; zeros have none and are left out.
    SumInv,
    /// The mean of their inverses.
    AvgInv,
}

const AGGREGATIONS: [(&str, Aggregation); 7] = [
    ("sum", Aggregation::Sum),
    ("min", Aggregation::Min),
    ("max", Aggregation::Max),
    ("avg", Aggregation::Avg),
    ("std", Aggregation::Std),
    ("suminv", Aggregation::SumInv),
    ("avginv", Aggregation::AvgInv),
];

impl Aggregation {
    /// The word in the `Stats` header.
    pub fn word(self) -> &'static str {
        let known = AGGREGATIONS
            .iter()
            .find(|(_, aggregation)| *aggregation == self);
        known.expect("the table has all of them").0
    }

    /// The aggregation of that word.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        let known = AGGREGATIONS
            .iter()
            .find(|(known, _)| known.as_bytes() == word);
        known.map(|(_, aggregation)| *aggregation)
    }
}

impl Stat {
    /// Makes it ready for the columns of a table, as
    /// [`Compiler::compile`] does with filters.
    pub fn compile<C>(
        &self,
        compiler: &mut Compiler,
        resolve: &mut dyn FnMut(&str) -> Option<(C, ColumnType)>,
    ) -> Result<Counter<C>, Error> {
        match self {
            Self::Count(filter) => compiler
                .compile(std::slice::from_ref(filter), resolve)
                .map(Counter::Matching),
            Self::Aggregate {
                aggregation,
                column,
            } => {
                let shown = excerpt(column.as_bytes(), 80);
                let (cell, kind) = resolve(column)
                    .ok_or_else(|| Error::BadRequest(format!("no column '{shown}'")))?;
                let source = match kind {
                    ColumnType::Int | ColumnType::Time => Source::Ints,
                    ColumnType::Float => Source::Floats,
                    ColumnType::Text if column.ends_with("perf_data") => Source::PerfData,
                    _ => {
                        return Err(Error::BadRequest(format!(
                            "cannot calculate with column '{shown}' of type {}",
                            kind.word()
                        )));
                    }
                };
                Ok(Counter::Calculating {
                    cell,
                    aggregation: *aggregation,
                    source,
                })
            }
        }
    }
}

/// A [`Stat`] that is ready to be applied to rows; `C` is how the table names
/// its columns.
#[derive(Debug)]
pub enum Counter<C> {
    /// Counts.
    Matching(Matcher<C>),
    /// Calculates.
    Calculating {
        /// The column.
        cell: C,
        /// What is calculated.
        aggregation: Aggregation,
        /// What kind of values the column has.
        source: Source,
    },
}

/// What kind of values are calculated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Whole numbers: sum, least and greatest are whole, too.
    Ints,
    /// Numbers.
    Floats,
    /// Performance data: a result for each label.
    PerfData,
}

/// What has been seen of a group so far, for one [`Counter`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tally(State);

#[derive(Debug, Clone, PartialEq)]
enum State {
    Count(u64),
    Int(Aggregation, Option<i64>),
    Float(Aggregation, Numbers),
    PerfData(Aggregation, BTreeMap<BString, Numbers>),
}

/// Numbers seen so far; what `figure` is depends on the aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Numbers {
    count: u64,
    figure: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
}

impl<C> Counter<C> {
    /// Nothing seen yet.
    pub fn start(&self) -> Tally {
        Tally(match self {
            Self::Matching(_) => State::Count(0),
            Self::Calculating {
                aggregation,
                source,
                ..
            } => match (source, aggregation) {
                (Source::Ints, Aggregation::Sum | Aggregation::Min | Aggregation::Max) => {
                    State::Int(*aggregation, None)
                }
                (Source::Ints | Source::Floats, _) => {
                    State::Float(*aggregation, Numbers::default())
                }
                (Source::PerfData, _) => State::PerfData(*aggregation, BTreeMap::new()),
            },
        })
    }

    /// Takes in a row. `cell` gives the row's value of a column.
    pub fn take<'a>(&self, tally: &mut Tally, cell: &mut impl FnMut(&C) -> Value<'a>) {
        match self {
            Self::Matching(matcher) => {
                if let State::Count(count) = &mut tally.0 {
                    *count += u64::from(matcher.matches(cell));
                }
            }
            Self::Calculating { cell: column, .. } => tally.take(&cell(column)),
        }
    }
}

impl Tally {
    fn take(&mut self, value: &Value<'_>) {
        match (&mut self.0, value) {
            (State::Int(aggregation, so_far), Value::Int(number)) => {
                *so_far = Some(match (&so_far, aggregation) {
                    (None, _) => *number,
                    (Some(before), Aggregation::Min) => *number.min(before),
                    (Some(before), Aggregation::Max) => *number.max(before),
                    (Some(before), _) => before.saturating_add(*number),
                });
            }
            (State::Float(aggregation, numbers), Value::Int(number)) => {
                numbers.take(*aggregation, *number as f64);
            }
            // What is not known is no number.
            (State::Float(aggregation, numbers), Value::Float(number)) if number.is_finite() => {
                numbers.take(*aggregation, *number);
            }
            (State::PerfData(aggregation, labels), Value::Text(text)) => {
                for (label, number) in Metrics(text) {
                    match labels.get_mut(label.as_bstr()) {
                        Some(numbers) => numbers.take(*aggregation, number),
                        None => {
                            let mut numbers = Numbers::default();
                            numbers.take(*aggregation, number);
                            labels.insert(label.into_owned().into(), numbers);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// The figure for all that was taken in.
    pub fn value(&self) -> Value<'static> {
        match &self.0 {
            State::Count(count) => Value::Int(i64::try_from(*count).unwrap_or(i64::MAX)),
            State::Int(_, number) => Value::Int(number.unwrap_or(0)),
            State::Float(aggregation, numbers) => Value::Float(numbers.value(*aggregation)),
            State::PerfData(aggregation, labels) => {
                let mut text = Vec::new();
                for (label, numbers) in labels {
                    if !text.is_empty() {
                        text.push(b' ');
                    }
                    push_label(&mut text, label.as_bstr());
                    let value = numbers.value(*aggregation);
                    text.extend_from_slice(format!("={value:.8}").as_bytes());
                }
                Value::owned(text)
            }
        }
    }
}

impl Numbers {
    fn take(&mut self, aggregation: Aggregation, number: f64) {
        let inverse = matches!(aggregation, Aggregation::SumInv | Aggregation::AvgInv);
        if inverse && number == 0.0 {
            return;
        }
        self.count += 1;
        let first = self.count == 1;
        match aggregation {
            Aggregation::Sum | Aggregation::Avg => self.figure += number,
            Aggregation::SumInv | Aggregation::AvgInv => self.figure += number.recip(),
            Aggregation::Min if first => self.figure = number,
            Aggregation::Min => self.figure = self.figure.min(number),
            Aggregation::Max if first => self.figure = number,
            Aggregation::Max => self.figure = self.figure.max(number),
            // Summing up the squares themselves would lose all digits of
            // numbers that differ little.
            Aggregation::Std => {
                let distance = number - self.figure;
                self.figure += distance / self.count as f64;
                self.squares += distance * (number - self.figure);
            }
        }
    }

    fn value(&self, aggregation: Aggregation) -> f64 {
        match (aggregation, self.count) {
            (_, 0) | (Aggregation::Std, 1) => 0.0,
            (Aggregation::Std, count) => (self.squares / (count - 1) as f64).sqrt(),
            (Aggregation::Avg | Aggregation::AvgInv, count) => self.figure / count as f64,
            _ => self.figure,
        }
    }
}

/// Labels and values of performance data; what is not understood is passed over.
struct Metrics<'a>(&'a [u8]);

impl<'a> Iterator for Metrics<'a> {
    type Item = (Cow<'a, [u8]>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.0 = self.0.trim_ascii_start();
            if self.0.is_empty() {
                return None;
            }
            let label = match quoted(self.0) {
                Some((label, rest)) => {
                    self.0 = rest;
                    Some(label)
                }
                None => None,
            };
            let end = self.0.find_byteset(b" \t\r\n").unwrap_or(self.0.len());
            let (word, rest) = self.0.split_at(end);
            self.0 = rest;
            let Some((plain, value)) = word.split_once_str("=") else {
                continue;
            };
            // Behind quotes the value follows at once.
            let label = match label {
                Some(label) if plain.is_empty() => label,
                Some(_) => continue,
                None => Cow::Borrowed(plain),
            };
            let digits = value.iter().take_while(|b| b"0123456789.-+".contains(b));
            if let Some(number) = parse_float(&value[..digits.count()])
                && !label.is_empty()
            {
                return Some((label, number));
            }
        }
    }
}

/// The label in quotes at the beginning, where two quotes mean one, and the rest.
fn quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let inner = text.strip_prefix(b"'")?;
    let mut from = 0;
    let mut doubled = false;
    loop {
        let at = from + inner[from..].find_byte(b'\'')?;
        if inner.get(at + 1) == Some(&b'\'') {
            (from, doubled) = (at + 2, true);
            continue;
        }
        let label = &inner[..at];
        let label = if doubled {
            Cow::Owned(label.replace("''", "'"))
        } else {
            Cow::Borrowed(label)
        };
        return Some((label, &inner[at + 1..]));
    }
}

fn push_label(out: &mut Vec<u8>, label: &BStr) {
    if label.find_byteset(b" \t='").is_none() {
        out.extend_from_slice(label);
        return;
    }
    out.push(b'\'');
    out.extend_from_slice(&label.replace("'", "''"));
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Comparison;

    fn kind(name: &str) -> Option<((), ColumnType)> {
        let kind = match name {
            "i" => ColumnType::Int,
            "t" => ColumnType::Time,
            "f" => ColumnType::Float,
            "perf_data" | "name" => ColumnType::Text,
            "l" => ColumnType::List,
            _ => return None,
        };
        Some(((), kind))
    }

    fn result(stat: &Stat, rows: &[Value<'_>]) -> Value<'static> {
        let counter = stat.compile(&mut Compiler::default(), &mut kind).unwrap();
        let mut tally = counter.start();
        for row in rows {
            counter.take(&mut tally, &mut |()| row.clone());
        }
        tally.value()
    }

    fn aggregate(word: &str, column: &str) -> Stat {
        Stat::Aggregate {
            aggregation: Aggregation::from_word(word.as_bytes()).unwrap(),
            column: column.to_owned(),
        }
    }

    #[test]
    fn figures_of_numbers() {
        let ints = [1, 2, 0, 4, 8].map(Value::Int);
        let big = [1 << 60, 1].map(Value::Int);
        let floats = [0.5, 0.25, 0.0].map(Value::Float);
        let unknown = [
            Value::Float(0.5),
            Value::Null,
            Value::Float(f64::NAN),
            Value::Float(f64::INFINITY),
        ];
        for (word, rows, column, want) in [
            ("sum", &ints[..], "i", Value::Int(15)),
            ("min", &ints, "i", Value::Int(0)),
            ("max", &ints, "i", Value::Int(8)),
            ("avg", &ints, "i", Value::Float(3.0)),
            ("std", &ints, "i", Value::Float(10_f64.sqrt())),
            ("suminv", &ints, "i", Value::Float(1.875)),
            ("avginv", &ints, "i", Value::Float(1.875 / 4.0)),
            ("sum", &big, "t", Value::Int((1 << 60) + 1)),
            ("min", &big[..1], "t", Value::Int(1 << 60)),
            ("std", &ints[..1], "i", Value::Float(0.0)),
            ("sum", &floats, "f", Value::Float(0.75)),
            ("min", &floats, "f", Value::Float(0.0)),
            ("min", &floats[..2], "f", Value::Float(0.25)),
            ("max", &floats, "f", Value::Float(0.5)),
            ("avg", &floats, "f", Value::Float(0.25)),
            ("std", &floats, "f", Value::Float(0.25)),
            ("suminv", &floats, "f", Value::Float(6.0)),
            ("avginv", &floats, "f", Value::Float(3.0)),
            ("avg", &unknown, "f", Value::Float(0.5)),
        ] {
            assert_eq!(
                result(&aggregate(word, column), rows),
                want,
                "{word} {rows:?}"
            );
        }
        let max = [i64::MAX, 1].map(Value::Int);
        assert_eq!(
            result(&aggregate("sum", "i"), &max),
            Value::Int(i64::MAX),
            "a sum stays in range"
        );
        let close = [1e9, 1e9 + 1.0, 1e9 + 2.0].map(Value::Float);
        assert_eq!(result(&aggregate("std", "f"), &close), Value::Float(1.0));
    }

    #[test]
    fn figures_of_nothing_are_zero() {
        for (word, _) in AGGREGATIONS {
            let whole = ["sum", "min", "max"].contains(&word);
            let want = if whole {
                Value::Int(0)
            } else {
                Value::Float(0.0)
            };
            assert_eq!(result(&aggregate(word, "i"), &[]), want, "{word}");
            assert_eq!(
                result(&aggregate(word, "f"), &[]),
                Value::Float(0.0),
                "{word}"
            );
            assert_eq!(
                result(&aggregate(word, "perf_data"), &[]),
                Value::text(""),
                "{word}"
            );
        }
        let filter = Filter::compare("i", Comparison::Equal, "1");
        assert_eq!(result(&Stat::Count(filter), &[]), Value::Int(0));
    }

    #[test]
    fn rows_that_pass_are_counted() {
        let rows = [0, 1, 2, 2].map(Value::Int);
        for (filter, want) in [
            (
                Filter::compare("i", Comparison::GreaterOrEqual, "1 as n"),
                3,
            ),
            (Filter::And(vec![]), 4),
            (Filter::Or(vec![]), 0),
        ] {
            assert_eq!(result(&Stat::Count(filter), &rows), Value::Int(want));
        }
    }

    #[test]
    fn performance_data_has_a_figure_for_each_label() {
        let rows = [
            "load5=2;5;10;0 load1=1.5;5;10;0",
            "load1=2.5 load5=U 'disk C'=40%;80 broken =3 'x''y'=-1s",
            "",
            "'open=1 a=1",
        ]
        .map(Value::text);
        for (word, load1) in [
            ("sum", "4.00000000"),
            ("avg", "2.00000000"),
            ("max", "2.50000000"),
        ] {
            // A label with a quote in it is printed with quotes.
            let want = format!(
                "'''open'=1.00000000 a=1.00000000 'disk C'=40.00000000 load1={load1} load5=2.00000000 'x''y'=-1.00000000"
            );
            let stat = aggregate(word, "perf_data");
            assert_eq!(result(&stat, &rows), Value::owned(want), "{word}");
        }
    }

    #[test]
    fn what_cannot_be_calculated_is_said() {
        for (column, want) in [
            ("name", "cannot calculate with column 'name' of type string"),
            ("l", "cannot calculate with column 'l' of type list"),
            ("nosuch", "no column 'nosuch'"),
        ] {
            let error = aggregate("sum", column)
                .compile(&mut Compiler::default(), &mut kind)
                .unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }
}
