//! The queries of `fixtures/queries.txt`.
//!
//! Requests are separated by blank lines. A line that begins with `#` says
//! something to people, one with `%` says how the request is sent or compared:
//!
//! `% differs NAME` the answers differ as `differences.rs` says under this name,
//! `% of comments` it is asked of the site that took the commands itself,
//! `% unframed` without `ResponseHeader`,
//! `% unfinished` without the blank line at the end.
//!
//! `{a b c}` stands for each of the words: the request is made once with each.

use super::answer::Form;

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// Its lines, without what is added to every request.
    pub(super) text: String,
    /// The name of the difference that is expected.
    pub(super) differs: Option<String>,
    /// Whether it is about comments or downtimes.
    pub(super) of_comments: bool,
    framed: bool,
    finished: bool,
}

impl Query {
    /// A request of these lines.
    pub(super) fn new(text: String) -> Self {
        Self {
            text,
            differs: None,
            of_comments: false,
            framed: true,
            finished: true,
        }
    }

    /// The bytes to send.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (first, rest) = self.text.split_once('\n').unwrap_or((&self.text, ""));
        let mut bytes = format!("{first}\n");
        if self.framed && self.header("ResponseHeader").is_none() {
            bytes.push_str("ResponseHeader: fixed16\n");
        }
        if first.starts_with('G') && self.header("OutputFormat").is_none() {
            bytes.push_str("OutputFormat: json\n");
        }
        bytes.push_str(rest);
        if self.finished {
            bytes.push('\n');
        }
        bytes.into_bytes()
    }

    /// Whether the answer is framed.
    pub(super) fn is_framed(&self) -> bool {
        self.framed
            && self
                .header("ResponseHeader")
                .is_none_or(|value| value == "fixed16")
    }

    /// The last value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).last()
    }

    /// All values of a header.
    pub(super) fn headers(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.text.lines().filter_map(move |line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.trim())
        })
    }

    /// The table; empty for a command.
    pub(super) fn table(&self) -> &str {
        let first = self.text.lines().next().unwrap_or("");
        first.strip_prefix("GET ").unwrap_or("").trim()
    }

    /// The columns that are asked for by name.
    pub(super) fn columns(&self) -> Vec<&str> {
        self.headers("Columns")
            .flat_map(str::split_whitespace)
            .collect()
    }

    /// Whether the rows are figures.
    pub(super) fn has_stats(&self) -> bool {
        self.header("Stats").is_some()
    }

    /// Whether the first row is the names, if there is a row at all.
    pub(super) fn has_names(&self) -> bool {
        match self.header("ColumnHeaders") {
            Some(value) => value == "on",
            None => self.columns().is_empty() && !self.has_stats(),
        }
    }

    /// The same request without a header.
    pub(super) fn without(&self, name: &str) -> Self {
        let keep = |line: &&str| {
            !line
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(':'))
        };
        let text = self
            .text
            .lines()
            .filter(keep)
            .map(|line| format!("{line}\n"));
        Self {
            text: text.collect(),
            ..self.clone()
        }
    }

    /// Whether it asks for some rows of those that there are.
    pub(super) fn is_cut(&self) -> bool {
        let is_part = self.header("Limit").is_some() || self.header("Offset").is_some();
        is_part && self.header("Sort").is_none() && !self.has_stats()
    }

    /// One of the four separators, if they are given.
    pub(super) fn separator(&self, place: usize) -> Option<u8> {
        let mut codes = self.header("Separators")?.split_whitespace();
        codes.nth(place)?.parse().ok()
    }

    /// How the answer is to be read.
    pub(super) fn form(&self) -> Form {
        let code = |place| self.separator(place);
        match self.header("OutputFormat").unwrap_or("json") {
            "csv" => Form::Csv(code(0).unwrap_or(b'\n'), code(1).unwrap_or(b';')),
            "wrapped_json" => Form::Wrapped,
            _ => Form::Json,
        }
    }
}

/// All requests of a file.
pub(super) fn parse(file: &str) -> Vec<Query> {
    let mut queries = Vec::new();
    for block in file.split("\n\n") {
        let mut query = Query::new(String::new());
        for line in block.lines() {
            match (line.strip_prefix("% "), line.starts_with('#')) {
                (_, true) => {}
                (Some("of comments"), _) => query.of_comments = true,
                (Some("unframed"), _) => query.framed = false,
                (Some("unfinished"), _) => query.finished = false,
                (Some(said), _) => match said.strip_prefix("differs ") {
                    Some(name) => query.differs = Some(name.to_owned()),
                    None => panic!("{line:?} in {block:?}"),
                },
                (None, _) => query.text.push_str(&format!("{line}\n")),
            }
        }
        if !query.text.trim().is_empty() {
            expand(query, &mut queries);
        }
    }
    queries
}

fn expand(query: Query, into: &mut Vec<Query>) {
    let Some((before, words, after)) = query.text.split_once('{').and_then(|(before, rest)| {
        let (words, after) = rest.split_once('}')?;
        Some((before, words, after))
    }) else {
        into.push(query);
        return;
    };
    for word in words.split(' ') {
        let text = [before, word, after].concat();
        let one = Query {
            text,
            ..query.clone()
        };
        expand(one, into);
    }
}
