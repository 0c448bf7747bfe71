//! Filters: their tree as a request builds it, and matchers made of it for the
//! columns of one table.

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice};
use regex::bytes::Regex;

use crate::error::{Error, excerpt};
use crate::number::{leading_float, leading_int};
use crate::pattern;
use crate::value::{ColumnType, Value};

/// Deepest tree of filters that is taken.
pub const MAX_DEPTH: usize = 64;
/// Most regular expressions in one query: each may take a megabyte.
const MAX_PATTERNS: usize = 500;

/// How a column is compared, without negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `~`
    Matches,
    /// `=~`
    EqualNoCase,
    /// `~~`
    MatchesNoCase,
    /// `<`
    Less,
    /// `>`
    Greater,
    /// `<=`
    LessOrEqual,
    /// `>=`
    GreaterOrEqual,
}

const COMPARISONS: [(Comparison, &str); 8] = [
    (Comparison::Equal, "="),
    (Comparison::Matches, "~"),
    (Comparison::EqualNoCase, "=~"),
    (Comparison::MatchesNoCase, "~~"),
    (Comparison::Less, "<"),
    (Comparison::Greater, ">"),
    (Comparison::LessOrEqual, "<="),
    (Comparison::GreaterOrEqual, ">="),
];

/// An operator of a filter: a comparison, perhaps negated by a leading `!`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// What is compared.
    pub comparison: Comparison,
    /// Whether the result is turned around.
    pub negated: bool,
}

impl Operator {
    /// Parses one of the sixteen operators.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negated, plain) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let known = COMPARISONS
            .iter()
            .find(|(_, word)| word.as_bytes() == plain)?;
        Some(Self {
            comparison: known.0,
            negated,
        })
    }
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (_, word) = COMPARISONS
            .iter()
            .find(|(comparison, _)| *comparison == self.comparison)
            .expect("the table has all of them");
        write!(f, "{}{word}", if self.negated { "!" } else { "" })
    }
}

/// A condition on rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// One column against one value.
    Compare {
        /// Name of the column.
        column: String,
        /// The operator.
        operator: Operator,
        /// The value as text.
        value: BString,
    },
    /// All of these; none is true.
    And(Vec<Filter>),
    /// One of these; none is false.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
}

impl Filter {
    /// A comparison that is built rather than parsed.
    pub fn compare(
        column: impl Into<String>,
        comparison: Comparison,
        value: impl Into<BString>,
    ) -> Self {
        Self::Compare {
            column: column.into(),
            operator: Operator {
                comparison,
                negated: false,
            },
            value: value.into(),
        }
    }

    /// Makes a matcher. `resolve` finds the table's column of a name.
    pub fn compile<C>(
        &self,
        resolve: &mut dyn FnMut(&str) -> Option<(C, ColumnType)>,
    ) -> Result<Matcher<C>, Error> {
        Compiler::default().compile(std::slice::from_ref(self), resolve)
    }

    /// The only values of a column with which a row can pass all of `filters`,
    /// where they ask for equality; `None` if it may have any. `is_column` tells
    /// the names of the column.
    pub fn only_values<'f>(
        filters: &'f [Self],
        is_column: &dyn Fn(&str) -> bool,
    ) -> Option<BTreeSet<&'f BStr>> {
        let values = filters
            .iter()
            .filter_map(|filter| filter.only_values_of_one(is_column));
        values.reduce(|a, b| a.intersection(&b).copied().collect())
    }

    fn only_values_of_one<'f>(
        &'f self,
        is_column: &dyn Fn(&str) -> bool,
    ) -> Option<BTreeSet<&'f BStr>> {
        const EQUAL: Operator = Operator {
            comparison: Comparison::Equal,
            negated: false,
        };
        match self {
            Self::Compare {
                column,
                operator: EQUAL,
                value,
            } if is_column(column) => Some(BTreeSet::from([value.as_bstr()])),
            Self::Compare { .. } | Self::Not(_) => None,
            Self::And(filters) => Self::only_values(filters, is_column),
            Self::Or(filters) => {
                let mut values = BTreeSet::new();
                for filter in filters {
                    values.append(&mut filter.only_values_of_one(is_column)?);
                }
                Some(values)
            }
        }
    }

    /// Whether a row can pass all of `filters` of which some whole numbers are
    /// known; `known` gives that of a column.
    pub fn may_pass(filters: &[Self], known: &dyn Fn(&str) -> Option<i64>) -> bool {
        filters.iter().all(|filter| filter.outcomes(known).0)
    }

    /// Whether such a row can pass, and whether it can fail.
    fn outcomes(&self, known: &dyn Fn(&str) -> Option<i64>) -> (bool, bool) {
        match self {
            Self::Compare {
                column,
                operator,
                value,
            } => match known(column) {
                Some(number) => {
                    let holds = compare_int(operator.comparison, number, leading_int(value));
                    let passes = holds != operator.negated;
                    (passes, !passes)
                }
                None => (true, true),
            },
            Self::And(filters) => filters.iter().fold((true, false), |(pass, fail), filter| {
                let one = filter.outcomes(known);
                (pass && one.0, fail || one.1)
            }),
            Self::Or(filters) => filters.iter().fold((false, true), |(pass, fail), filter| {
                let one = filter.outcomes(known);
                (pass || one.0, fail && one.1)
            }),
            Self::Not(filter) => {
                let (pass, fail) = filter.outcomes(known);
                (fail, pass)
            }
        }
    }

    fn compile_node<C>(
        &self,
        resolve: &mut dyn FnMut(&str) -> Option<(C, ColumnType)>,
        patterns: &mut usize,
    ) -> Result<Node<C>, Error> {
        let mut compile = |filters: &[Self]| {
            filters
                .iter()
                .map(|filter| filter.compile_node(resolve, patterns))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(match self {
            Self::And(filters) => Node::All(compile(filters)?),
            Self::Or(filters) => Node::Any(compile(filters)?),
            Self::Not(filter) => Node::Not(Box::new(
                compile(std::slice::from_ref(&**filter))?.remove(0),
            )),
            Self::Compare {
                column,
                operator,
                value,
            } => {
                // The caller knows the header: Filter, Stats, WaitCondition.
                let fault = Error::BadRequest;
                let (cell, kind) = resolve(column).ok_or_else(|| {
                    fault(format!("no column '{}'", excerpt(column.as_bytes(), 80)))
                })?;
                let test =
                    Test::new(kind, operator.comparison, value).map_err(|what| match what {
                        NoTest::Operator => fault(format!(
                            "invalid operator '{operator}' for column '{column}' of type {}",
                            kind.word()
                        )),
                        NoTest::Reason(what) => fault(what),
                    })?;
                *patterns += usize::from(test.has_pattern());
                if *patterns > MAX_PATTERNS {
                    return Err(fault(format!(
                        "more than {MAX_PATTERNS} regular expressions"
                    )));
                }
                Node::Test {
                    cell,
                    test,
                    negated: operator.negated,
                }
            }
        })
    }
}

/// Makes matchers of all the filters of one query, and sees to it that they do
/// not take too much memory together.
#[derive(Debug, Default)]
pub struct Compiler {
    patterns: usize,
}

impl Compiler {
    /// Makes one matcher of several filters that must all hold. `resolve` finds
    /// the table's column of a name.
    pub fn compile<C>(
        &mut self,
        filters: &[Filter],
        resolve: &mut dyn FnMut(&str) -> Option<(C, ColumnType)>,
    ) -> Result<Matcher<C>, Error> {
        let nodes = filters
            .iter()
            .map(|filter| filter.compile_node(resolve, &mut self.patterns))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Matcher(Node::All(nodes)))
    }
}

/// A filter that is ready to be applied to rows; `C` is how the table names its
/// columns.
#[derive(Debug)]
pub struct Matcher<C>(Node<C>);

#[derive(Debug)]
enum Node<C> {
    Test { cell: C, test: Test, negated: bool },
    All(Vec<Node<C>>),
    Any(Vec<Node<C>>),
    Not(Box<Node<C>>),
}

impl<C> Matcher<C> {
    /// Whether a row passes. `cell` gives the row's value of a column.
    pub fn matches<'a, F>(&self, cell: &mut F) -> bool
    where
        F: FnMut(&C) -> Value<'a> + ?Sized,
    {
        self.0.matches(cell)
    }
}

impl<C> Node<C> {
    fn matches<'a, F>(&self, value: &mut F) -> bool
    where
        F: FnMut(&C) -> Value<'a> + ?Sized,
    {
        match self {
            Self::Test {
                cell,
                test,
                negated,
            } => test.holds(&value(cell)) != *negated,
            Self::All(nodes) => nodes.iter().all(|node| node.matches(value)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(value)),
            Self::Not(node) => !node.matches(value),
        }
    }
}

/// A comparison with its value read for the type of the column.
#[derive(Debug)]
enum Test {
    Int(Comparison, i64),
    Float(Comparison, f64),
    Text(TextTest),
    IsEmpty,
    /// Some element passes.
    Element(TextTest),
    /// No element passes: `<` and `>` on lists.
    NoElement(TextTest),
    Entry(BString, TextTest),
}

#[derive(Debug)]
enum TextTest {
    Compare(Comparison, BString),
    /// The value in lower case.
    NoCase(BString),
    Pattern(Regex),
}

/// Why there is no such test.
enum NoTest {
    Operator,
    Reason(String),
}

impl Test {
    fn new(kind: ColumnType, comparison: Comparison, value: &BString) -> Result<Self, NoTest> {
        use Comparison::{
            Equal, EqualNoCase, Greater, GreaterOrEqual, Less, LessOrEqual, Matches, MatchesNoCase,
        };
        Ok(match (kind, comparison) {
            (ColumnType::Int, _) => Self::Int(comparison, leading_int(value)),
            // Only plain integers can be tested bit by bit.
            (ColumnType::Time | ColumnType::Float, Matches | EqualNoCase | MatchesNoCase) => {
                return Err(NoTest::Operator);
            }
            (ColumnType::Time, _) => Self::Int(comparison, leading_int(value)),
            (ColumnType::Float, _) => Self::Float(comparison, leading_float(value)),
            (ColumnType::Text, _) => Self::Text(TextTest::new(comparison, value)?),
            (ColumnType::List, Equal) if value.is_empty() => Self::IsEmpty,
            (ColumnType::List, Equal) => {
                return Err(NoTest::Reason(
                    "a list can only be compared with the empty value; use >= for 'contains'"
                        .to_owned(),
                ));
            }
            (ColumnType::List, EqualNoCase) => return Err(NoTest::Operator),
            (ColumnType::List, GreaterOrEqual) => Self::Element(TextTest::new(Equal, value)?),
            (ColumnType::List, Less) => Self::NoElement(TextTest::new(Equal, value)?),
            (ColumnType::List, LessOrEqual) => Self::Element(TextTest::new(EqualNoCase, value)?),
            (ColumnType::List, Greater) => Self::NoElement(TextTest::new(EqualNoCase, value)?),
            (ColumnType::List, Matches | MatchesNoCase) => {
                Self::Element(TextTest::new(comparison, value)?)
            }
            (ColumnType::Dict, _) => {
                let (name, value) = split_entry(value)
                    .ok_or_else(|| NoTest::Reason("name of the entry is missing".to_owned()))?;
                Self::Entry(name, TextTest::new(comparison, &value)?)
            }
        })
    }

    fn has_pattern(&self) -> bool {
        match self {
            Self::Text(test)
            | Self::Element(test)
            | Self::NoElement(test)
            | Self::Entry(_, test) => matches!(test, TextTest::Pattern(_)),
            Self::Int(..) | Self::Float(..) | Self::IsEmpty => false,
        }
    }

    fn holds(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Int(comparison, wanted) => compare_int(*comparison, as_int(value), *wanted),
            Self::Float(comparison, wanted) => {
                let number = as_float(value);
                match comparison {
                    Comparison::Equal => number == *wanted,
                    _ => number
                        .partial_cmp(wanted)
                        .is_some_and(|order| ordered(*comparison, order)),
                }
            }
            Self::Text(test) => match value {
                Value::Text(text) => test.holds(text),
                other => test.holds(printed(other).as_bstr()),
            },
            Self::IsEmpty => match value {
                Value::Names(names) => names.is_empty(),
                Value::List(elements) => elements.is_empty(),
                _ => true,
            },
            Self::Element(test) => any_element(value, test),
            Self::NoElement(test) => !any_element(value, test),
            Self::Entry(name, test) => {
                let entry = match value {
                    Value::Dict(entries) => entries.get(name),
                    _ => None,
                };
                // An entry that is missing compares as the empty text.
                test.holds(entry.map_or(BStr::new(""), |text| text.as_bstr()))
            }
        }
    }
}

impl TextTest {
    fn new(comparison: Comparison, value: &BString) -> Result<Self, NoTest> {
        let pattern = |ignore_case| {
            pattern::compile(value, ignore_case).map_err(|reason| {
                NoTest::Reason(format!(
                    "invalid regular expression '{}': {reason}",
                    excerpt(value, 80)
                ))
            })
        };
        Ok(match comparison {
            Comparison::Matches => Self::Pattern(pattern(false)?),
            Comparison::MatchesNoCase => Self::Pattern(pattern(true)?),
            Comparison::EqualNoCase => Self::NoCase(value.to_lowercase().into()),
            other => Self::Compare(other, value.clone()),
        })
    }

    fn holds(&self, text: &BStr) -> bool {
        match self {
            Self::Compare(Comparison::Equal, wanted) => text == wanted,
            Self::Compare(comparison, wanted) => ordered(*comparison, text.cmp(wanted.as_bstr())),
            Self::NoCase(wanted) if text.is_ascii() => text.eq_ignore_ascii_case(wanted),
            Self::NoCase(wanted) => text.to_lowercase() == **wanted,
            Self::Pattern(regex) => regex.is_match(text),
        }
    }
}

fn compare_int(comparison: Comparison, number: i64, wanted: i64) -> bool {
    match comparison {
        Comparison::Matches => number & wanted == wanted,
        Comparison::EqualNoCase => number & wanted == number,
        Comparison::MatchesNoCase => number & wanted != 0,
        _ => ordered(comparison, number.cmp(&wanted)),
    }
}

fn ordered(comparison: Comparison, order: std::cmp::Ordering) -> bool {
    match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::Greater => order.is_gt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::GreaterOrEqual => order.is_ge(),
        _ => order.is_eq(),
    }
}

fn any_element(value: &Value<'_>, test: &TextTest) -> bool {
    match value {
        Value::Names(names) => names.iter().any(|name| test.holds(name.as_bstr())),
        Value::List(elements) => elements.iter().any(|element| match element {
            Value::Text(name) => test.holds(name),
            Value::List(parts) => test.holds(element_name(parts).as_bstr()),
            other => test.holds(printed(other).as_bstr()),
        }),
        _ => false,
    }
}

/// What an element with parts is found by: its leading text, or two of them as
/// `host|description`, or its first part where that is a number (an id).
fn element_name(parts: &[Value<'_>]) -> BString {
    let mut name = BString::default();
    for (index, part) in parts.iter().enumerate() {
        match part {
            Value::Text(text) if index == 0 => name.extend_from_slice(text),
            // A text that follows numbers is an output or an author.
            Value::Text(text) if index == 1 => {
                name.push(b'|');
                name.extend_from_slice(text);
            }
            other if index == 0 => return printed(other),
            _ => break,
        }
    }
    name
}

fn as_int(value: &Value<'_>) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::Float(number) => *number as i64,
        Value::Text(text) => leading_int(text),
        _ => 0,
    }
}

fn as_float(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Text(text) => leading_float(text),
        _ => 0.0,
    }
}

/// A value of another type where text was expected; null is empty.
fn printed(value: &Value<'_>) -> BString {
    match value {
        Value::Text(text) => text.to_vec().into(),
        Value::Int(number) => number.to_string().into(),
        Value::Float(number) => number.to_string().into(),
        _ => BString::default(),
    }
}

/// Splits `NAME VALUE`. Either may stand in single quotes, where two quotes
/// mean one.
fn split_entry(text: &[u8]) -> Option<(BString, BString)> {
    let (name, rest) = match unquote(text) {
        Some((name, rest)) => (name, rest.trim_ascii_start()),
        None => {
            let end = text
                .iter()
                .position(u8::is_ascii_whitespace)
                .unwrap_or(text.len());
            (text[..end].into(), text[end..].trim_ascii_start())
        }
    };
    if name.is_empty() {
        return None;
    }
    match unquote(rest) {
        Some((value, b"")) => Some((name, value)),
        _ => Some((name, rest.into())),
    }
}

/// The text in quotes that stands at the beginning, and what follows.
fn unquote(text: &[u8]) -> Option<(BString, &[u8])> {
    let mut rest = text.strip_prefix(b"'")?;
    let mut out = BString::default();
    loop {
        let end = rest.find_byte(b'\'')?;
        out.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(b"'") {
            Some(after) => {
                out.push(b'\'');
                rest = after;
            }
            None => return Some((out, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn matcher(text: &str) -> Result<Matcher<ColumnType>, Error> {
        let mut words = text.splitn(3, ' ');
        let column = words.next().unwrap();
        let operator = Operator::parse(words.next().unwrap().as_bytes()).unwrap();
        let filter = Filter::Compare {
            column: column.to_owned(),
            operator,
            value: words.next().unwrap_or_default().into(),
        };
        filter.compile(&mut |name| {
            let kind = match name {
                "i" => ColumnType::Int,
                "f" => ColumnType::Float,
                "s" => ColumnType::Text,
                "l" => ColumnType::List,
                "d" => ColumnType::Dict,
                "t" => ColumnType::Time,
                _ => return None,
            };
            Some((kind, kind))
        })
    }

    fn check(rows: &[(&str, &Value<'_>, bool)]) {
        for (text, value, want) in rows {
            let matcher = matcher(text).unwrap();
            assert_eq!(
                matcher.matches(&mut |_| (*value).clone()),
                *want,
                "{text} on {value:?}"
            );
        }
    }

    #[test]
    fn numbers() {
        let (zero, two, six) = (Value::Int(0), Value::Int(2), Value::Int(6));
        check(&[
            ("i = 2", &two, true),
            ("i != 2", &two, false),
            ("i = 2 as n", &two, true),
            ("i = x", &zero, true),
            ("i < 3", &two, true),
            ("i !< 3", &two, false),
            ("i > 1", &two, true),
            ("i !> 1", &two, false),
            ("i <= 2", &two, true),
            ("i !<= 2", &two, false),
            ("i >= 2", &two, true),
            ("i !>= 2", &two, false),
            ("i < 99999999999", &two, true),
            // All bits, no other bits, any bit.
            ("i ~ 2", &six, true),
            ("i ~ 3", &six, false),
            ("i !~ 3", &six, true),
            ("i =~ 7", &six, true),
            ("i =~ 3", &six, false),
            ("i !=~ 3", &six, true),
            ("i ~~ 3", &six, true),
            ("i ~~ 1", &six, false),
            ("i !~~ 1", &six, true),
            ("t >= 1795219632.8", &Value::Int(1_795_219_632), true),
            ("t = 0", &Value::Null, true),
            ("f = 0.5", &Value::Float(0.5), true),
            ("f != 0.5", &Value::Float(0.5), false),
            ("f > 0.4", &Value::Float(0.5), true),
            ("f <= 0.4", &Value::Float(0.5), false),
            ("f >= 0", &Value::Null, true),
        ]);
    }

    #[test]
    fn texts() {
        let name = Value::text("Memory");
        let umlaut = Value::text("ÄÖÜ");
        let latin1 = Value::text(b"K\xfchlung");
        check(&[
            ("s = Memory", &name, true),
            ("s != Memory", &name, false),
            ("s = memory", &name, false),
            ("s =~ memory", &name, true),
            ("s !=~ memory", &name, false),
            ("s =~ äöü", &umlaut, true),
            ("s ~ ^Mem", &name, true),
            ("s !~ ^Mem", &name, false),
            ("s ~ mem", &name, false),
            ("s ~~ mem", &name, true),
            ("s !~~ mem", &name, false),
            ("s ~~ äöü", &umlaut, true),
            ("s ~ hlung", &latin1, true),
            ("s ~ K.hlung", &latin1, false),
            ("s < N", &name, true),
            ("s > N", &name, false),
            ("s <= Memory", &name, true),
            ("s >= Memory", &name, true),
            ("s !>= Memory", &name, false),
            ("s =", &Value::text(""), true),
            ("s =", &Value::Null, true),
            ("s !=", &name, true),
        ]);
    }

    #[test]
    fn lists() {
        let names: [BString; 2] = ["linux".into(), "Web servers".into()];
        let groups = Value::Names(&names);
        let none = Value::Names(&[]);
        let members = Value::List(vec![Value::List(vec![
            Value::text("db1"),
            Value::text("Disk /"),
            Value::Int(2),
        ])]);
        let states = Value::List(vec![Value::List(vec![
            Value::text("Disk /"),
            Value::Int(2),
            Value::Int(1),
            Value::text("full"),
        ])]);
        let ids = Value::List(vec![Value::Int(7), Value::Int(12)]);
        check(&[
            ("l =", &none, true),
            ("l =", &groups, false),
            ("l !=", &groups, true),
            ("l >= linux", &groups, true),
            ("l >= Linux", &groups, false),
            ("l >= Web servers", &groups, true),
            ("l < linux", &groups, false),
            ("l < windows", &groups, true),
            ("l <= LINUX", &groups, true),
            ("l > LINUX", &groups, false),
            ("l > windows", &groups, true),
            ("l !>= linux", &groups, false),
            ("l !< linux", &groups, true),
            ("l !<= LINUX", &groups, false),
            ("l !> LINUX", &groups, true),
            ("l ~ ^Web", &groups, true),
            ("l !~ ^Web", &groups, false),
            ("l ~~ ^web", &groups, true),
            ("l !~~ ^web", &groups, false),
            ("l >= db1|Disk /", &members, true),
            ("l >= Disk /", &states, true),
            ("l >= full", &states, false),
            ("l >= 12", &ids, true),
            ("l >= 1", &ids, false),
        ]);
    }

    #[test]
    fn dicts() {
        let variables = BTreeMap::from([
            ("SITE".into(), "berlin-7".into()),
            ("TAGS".into(), "/wan/ prod".into()),
            ("a b".into(), "it's".into()),
        ]);
        let dict = Value::Dict(&variables);
        check(&[
            ("d = SITE berlin-7", &dict, true),
            ("d != SITE berlin-7", &dict, false),
            ("d = TAGS /wan/ prod", &dict, true),
            ("d ~~ TAGS PROD", &dict, true),
            ("d ~ TAGS PROD", &dict, false),
            ("d =~ SITE BERLIN-7", &dict, true),
            ("d > SITE alpha", &dict, true),
            ("d != NOPE x", &dict, true),
            ("d = NOPE", &dict, true),
            ("d = 'a b' 'it''s'", &dict, true),
            ("d = 'SITE' berlin-7", &dict, true),
        ]);
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        for (text, want) in [
            ("x = 1", "no column 'x'"),
            ("f ~ 1", "invalid operator '~' for column 'f' of type float"),
            (
                "t !~~ 1",
                "invalid operator '!~~' for column 't' of type time",
            ),
            (
                "l =~ x",
                "invalid operator '=~' for column 'l' of type list",
            ),
            (
                "l = x",
                "a list can only be compared with the empty value; use >= for 'contains'",
            ),
            ("d =", "name of the entry is missing"),
            ("s ~ (a", "invalid regular expression '(a': unclosed group"),
        ] {
            assert_eq!(matcher(text).unwrap_err().to_string(), want, "{text}");
        }
    }

    #[test]
    fn trees_are_walked() {
        let compare = |n: &str| Filter::compare("i", Comparison::Equal, n);
        let resolve = &mut |_: &str| Some(((), ColumnType::Int));
        for (name, filter, want) in [
            ("and of nothing", Filter::And(vec![]), true),
            ("or of nothing", Filter::Or(vec![]), false),
            ("and", Filter::And(vec![compare("2"), compare("3")]), false),
            ("or", Filter::Or(vec![compare("2"), compare("3")]), true),
            ("not", Filter::Not(Box::new(compare("2"))), false),
        ] {
            let matcher = filter.compile(resolve).unwrap();
            assert_eq!(matcher.matches(&mut |()| Value::Int(2)), want, "{name}");
        }
    }

    #[test]
    fn equality_leaves_few_values() {
        let f = |column: &str, comparison, value: &str| Filter::compare(column, comparison, value);
        let eq = |value: &str| f("x", Comparison::Equal, value);
        let other = || f("y", Comparison::Equal, "b");
        let unequal = Filter::Compare {
            column: "x".into(),
            operator: Operator {
                comparison: Comparison::Equal,
                negated: true,
            },
            value: "a".into(),
        };
        for (filters, want) in [
            (vec![], None),
            (vec![other()], None),
            (vec![unequal], None),
            (vec![f("x", Comparison::EqualNoCase, "a")], None),
            (vec![Filter::Not(Box::new(eq("a")))], None),
            (vec![eq("a")], Some("a")),
            (vec![eq(""), other()], Some("")),
            (vec![eq("a"), eq("b")], Some("none")),
            (vec![Filter::And(vec![eq("a"), other()])], Some("a")),
            (vec![Filter::Or(vec![eq("b"), eq("a")])], Some("a b")),
            (vec![Filter::Or(vec![eq("b"), other()])], None),
            (vec![Filter::Or(vec![])], Some("none")),
            (vec![Filter::And(vec![])], None),
            (vec![Filter::Or(vec![eq("b"), eq("a")]), eq("b")], Some("b")),
        ] {
            let got = Filter::only_values(&filters, &|name| name == "x").map(|values| {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                if values.is_empty() {
                    "none".to_owned()
                } else {
                    values.join(" ")
                }
            });
            assert_eq!(got.as_deref(), want, "{filters:?}");
        }
    }

    #[test]
    fn what_is_known_of_a_row_may_rule_it_out() {
        let x = |comparison, value: &str| Filter::compare("x", comparison, value);
        let y = || Filter::compare("y", Comparison::Equal, "1");
        let not = |filter| Filter::Not(Box::new(filter));
        use Comparison::{Equal, Greater, MatchesNoCase};
        for (filters, want) in [
            (vec![], "0123"),
            (vec![y()], "0123"),
            (vec![not(y())], "0123"),
            (vec![x(Equal, "2 as n")], "2"),
            (vec![x(Greater, "0")], "123"),
            (vec![x(MatchesNoCase, "1")], "13"),
            (vec![not(x(Greater, "0"))], "0"),
            (vec![x(Greater, "0"), y()], "123"),
            (vec![Filter::Or(vec![x(Equal, "1"), x(Equal, "3")])], "13"),
            (vec![Filter::Or(vec![x(Equal, "1"), y()])], "0123"),
            (vec![not(Filter::Or(vec![x(Equal, "1"), y()]))], "023"),
            (vec![not(Filter::And(vec![x(Equal, "1"), y()]))], "0123"),
            (vec![Filter::And(vec![x(Equal, "1"), x(Equal, "2")])], ""),
            (vec![Filter::Or(vec![])], ""),
            (vec![Filter::And(vec![])], "0123"),
        ] {
            let may = |number: &i64| {
                Filter::may_pass(&filters, &|column| (column == "x").then_some(*number))
            };
            let got: String = (0..4).filter(may).map(|n| n.to_string()).collect();
            assert_eq!(got, want, "{filters:?}");
        }
    }

    #[test]
    fn operators_are_printed_as_parsed() {
        for (_, word) in COMPARISONS {
            for text in [word.to_owned(), format!("!{word}")] {
                let operator = Operator::parse(text.as_bytes()).unwrap();
                assert_eq!(operator.to_string(), text);
            }
        }
        for bad in ["", "!", "==", "!!=", "=<", "=x"] {
            assert_eq!(Operator::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
