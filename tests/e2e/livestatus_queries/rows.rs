//! Rows of two servers in one writing, and where they differ.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::Value;

use super::answer::Form;
use super::differences::Writing;
use super::query::Query;

/// Rows with the names of their columns.
pub(super) struct Rows {
    pub(super) names: Vec<String>,
    rows: Vec<Vec<Value>>,
}

/// The rows of both, with the same columns: where all columns were asked for,
/// those that both have.
pub(super) fn with_same_columns(
    query: &Query,
    theirs: &[Vec<Value>],
    ours: &[Vec<Value>],
) -> Result<(Rows, Rows), String> {
    let width = theirs.iter().chain(ours).map(Vec::len).max().unwrap_or(0);
    let (theirs, ours) = (
        Rows::new(query, theirs, width),
        Rows::new(query, ours, width),
    );
    if query.has_names() && (theirs.names.is_empty() || ours.names.is_empty()) {
        return Err("only one of them has names".to_owned());
    }
    if theirs.names == ours.names {
        return Ok((theirs, ours));
    }
    let both: Vec<_> = theirs
        .names
        .iter()
        .filter(|name| ours.names.contains(name))
        .cloned()
        .collect();
    if !query.columns().is_empty() || both.is_empty() {
        return Err(format!(
            "columns {:?} there, {:?} here",
            theirs.names, ours.names
        ));
    }
    Ok((theirs.only(&both), ours.only(&both)))
}

impl Rows {
    fn new(query: &Query, rows: &[Vec<Value>], width: usize) -> Self {
        if query.has_names() {
            let names = rows.first().map_or(&[][..], Vec::as_slice).iter();
            return Self {
                names: names
                    .map(|name| name.as_str().unwrap_or("").to_owned())
                    .collect(),
                rows: rows.iter().skip(1).cloned().collect(),
            };
        }
        // Figures have no names.
        let mut names: Vec<_> = query.columns().into_iter().map(str::to_owned).collect();
        names.resize(width, String::new());
        Self {
            names,
            rows: rows.to_vec(),
        }
    }

    fn only(self, names: &[String]) -> Self {
        let place = |name| self.names.iter().position(|other| other == name);
        let places: Vec<_> = names.iter().filter_map(place).collect();
        let pick = |row: &Vec<Value>| places.iter().map(|place| row[*place].clone()).collect();
        Self {
            names: names.to_vec(),
            rows: self.rows.iter().map(pick).collect(),
        }
    }

    /// All cells in our writing. `kinds` are our types of the columns; returns
    /// what was written in another way.
    pub(super) fn rewrite(&mut self, query: &Query, kinds: &[&str]) -> BTreeSet<Writing> {
        let mut seen = BTreeSet::new();
        for row in &mut self.rows {
            for (cell, kind) in row.iter_mut().zip(kinds) {
                let (rewritten, writing) = match (&*cell, *kind) {
                    (Value::Bool(yes), _) => (Value::from(u8::from(*yes)), Writing::Booleans),
                    (Value::Null, kind) => (empty(kind), Writing::Nulls),
                    (Value::Array(pairs), "dict") => (object(pairs), Writing::Pairs),
                    _ => continue,
                };
                *cell = rewritten;
                seen.insert(writing);
            }
        }
        if let Form::Csv(..) = query.form() {
            self.take_lists_apart(query, kinds);
        }
        seen
    }

    /// In csv a list is a text like any other.
    pub(super) fn take_lists_apart(&mut self, query: &Query, kinds: &[&str]) {
        let separator = char::from(query.separator(2).unwrap_or(b','));
        for row in &mut self.rows {
            for (cell, kind) in row.iter_mut().zip(kinds) {
                if let (Value::String(text), "list" | "dict") = (&*cell, *kind) {
                    *cell = text.split(separator).map(Value::from).collect();
                }
            }
        }
    }

    /// Comments and downtimes have ids and times of entry of each server's own.
    pub(super) fn forget_entry(&mut self) {
        for row in &mut self.rows {
            for (cell, name) in row.iter_mut().zip(&self.names) {
                let is_info = name.contains("_with_info") || name.contains("_with_extra_info");
                if let Value::Array(remarks) = cell
                    && is_info
                    && !name.contains("services")
                {
                    for remark in remarks.iter_mut().filter_map(Value::as_array_mut) {
                        remark[0] = Value::Null;
                    }
                }
                forget_now(cell);
            }
        }
    }

    fn as_text(&self, is_masked: &dyn Fn(&str) -> bool) -> Vec<Vec<String>> {
        let text = |(cell, name): (&Value, &String)| match is_masked(name) {
            true => String::new(),
            false => comparable(cell),
        };
        let row = |row: &Vec<Value>| row.iter().zip(&self.names).map(text).collect();
        let mut rows: Vec<_> = self.rows.iter().map(row).collect();
        rows.sort();
        rows
    }
}

/// The first row in which the two differ, in whatever order they are, without
/// the columns that are masked.
pub(super) fn difference(
    theirs: &Rows,
    ours: &Rows,
    is_masked: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let names = &ours.names;
    let (theirs, ours) = (theirs.as_text(is_masked), ours.as_text(is_masked));
    if theirs.len() != ours.len() {
        return Some(format!("{} rows there, {} here", theirs.len(), ours.len()));
    }
    let (theirs, ours) = theirs
        .iter()
        .zip(&ours)
        .find(|(theirs, ours)| theirs != ours)?;
    let place = theirs
        .iter()
        .zip(ours)
        .position(|(theirs, ours)| theirs != ours);
    let place = place.unwrap_or(theirs.len().min(ours.len()));
    let at = |row: &[String]| row.get(place).map_or("nothing", String::as_str).to_owned();
    let name = names.get(place).map_or("", String::as_str);
    let row: String = theirs.join(" ").chars().take(200).collect();
    Some(format!(
        "{name} of {row}: {} there, {} here",
        at(theirs),
        at(ours)
    ))
}

/// The first pair of rows that is not in the order that was asked for.
pub(super) fn disorder(query: &Query, rows: &[Vec<Value>]) -> Option<String> {
    let columns = query.columns();
    let key = |key: &str| {
        let (name, way) = key.split_once(' ').unwrap_or((key, "asc"));
        let place = columns.iter().position(|column| *column == name);
        (
            place.expect("a query sorts by what it shows"),
            way == "desc",
        )
    };
    let keys: Vec<_> = query.headers("Sort").map(key).collect();
    let order = |pair: &[Vec<Value>]| {
        let of_key = |(place, descending): &(usize, bool)| {
            let order = compare_cells(&pair[0][*place], &pair[1][*place]);
            if *descending { order.reverse() } else { order }
        };
        keys.iter()
            .map(of_key)
            .fold(Ordering::Equal, Ordering::then)
    };
    let rows = &rows[usize::from(query.has_names())..];
    let pair = rows.windows(2).find(|pair| order(pair).is_gt())?;
    Some(format!("not sorted: {pair:?}"))
}

fn compare_cells(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.as_str().cmp(&b.as_str()),
    }
}

fn empty(kind: &str) -> Value {
    match kind {
        "int" | "time" | "float" => Value::from(0),
        "list" => Value::Array(Vec::new()),
        _ => Value::from(""),
    }
}

fn object(pairs: &[Value]) -> Value {
    let pair = |pair: &Value| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.clone()));
    Value::Object(pairs.iter().filter_map(pair).collect())
}

/// What happened during this test happened now.
fn forget_now(cell: &mut Value) {
    const TEST: f64 = 1000.0;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs_f64();
    match cell {
        Value::Array(cells) => cells.iter_mut().for_each(forget_now),
        Value::Number(number)
            if number
                .as_f64()
                .is_some_and(|time| (now - time).abs() < TEST) =>
        {
            *cell = Value::from("now");
        }
        _ => {}
    }
}

/// Lists have no order, and numbers have the places that a dump carries.
fn comparable(cell: &Value) -> String {
    match cell {
        Value::Number(number) => number.as_f64().map_or_else(String::new, rounded),
        Value::Array(elements) => {
            let mut elements: Vec<_> = elements.iter().map(comparable).collect();
            elements.sort();
            format!("[{}]", elements.join(","))
        }
        // Numbers in csv.
        Value::String(text) => match text.parse::<f64>() {
            Ok(number) => rounded(number),
            Err(_) => format!("{text:?}"),
        },
        other => other.to_string(),
    }
}

fn rounded(number: f64) -> String {
    format!("{number:.5}")
}
