//! A Livestatus server with two hosts, which answers as Naemon or as Icinga 2
//! does, or in one of the ways that an answer can go wrong.

#![allow(dead_code)] // Each test uses another part of it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Whose manners it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Naemon,
    Icinga2,
}

/// A table: names of its columns, and for each row its cells as JSON.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// What to do with an answer before it is sent.
type Damage = Box<dyn Fn(&str, Vec<u8>) -> Vec<u8> + Send>;
/// Whether so many rows of a table are too many for an answer.
type TooLarge = Box<dyn Fn(&str, usize) -> bool + Send>;

/// How it answers.
struct Answers {
    style: Style,
    tables: Vec<(&'static str, Table)>,
    too_large: TooLarge,
}

pub(crate) struct Server {
    pub(crate) socket: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Serves `tables` until the test ends.
    pub(crate) fn start(style: Style, tables: Vec<(&'static str, Table)>) -> Self {
        Self::start_damaged(style, tables, Box::new(|_, answer| answer))
    }

    /// The same, but `damage` gets each table's name and answer, and says what
    /// is sent instead.
    pub(crate) fn start_damaged(
        style: Style,
        tables: Vec<(&'static str, Table)>,
        damage: Damage,
    ) -> Self {
        Self::serve(style, tables, damage, Box::new(|_, _| false))
    }

    /// The same, but `too_large` says of each table and number of rows whether
    /// they are refused with 413.
    pub(crate) fn start_limited(tables: Vec<(&'static str, Table)>, too_large: TooLarge) -> Self {
        Self::serve(
            Style::Naemon,
            tables,
            Box::new(|_, answer| answer),
            too_large,
        )
    }

    fn serve(
        style: Style,
        mut tables: Vec<(&'static str, Table)>,
        damage: Damage,
        too_large: TooLarge,
    ) -> Self {
        // Every server has these, if only without rows.
        for name in ["comments", "downtimes"] {
            if tables.iter().all(|(table, _)| *table != name) {
                let columns = "host_name service_description is_service id author comment \
                               entry_time entry_type persistent expires expire_time \
                               start_time end_time fixed duration";
                let table = Table {
                    columns: columns.split(' ').collect(),
                    rows: Vec::new(),
                };
                tables.push((name, table));
            }
        }
        let answers = Answers {
            style,
            tables,
            too_large,
        };
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("live");
        let listener = UnixListener::bind(&socket).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &answers, &damage, &seen);
            }
        });
        Self {
            socket,
            requests,
            _directory: directory,
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The requests so far, each with its blank line.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: UnixStream, answers: &Answers, damage: &Damage, seen: &Mutex<Vec<String>>) {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    while !request.ends_with("\n\n") {
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 => {
                request.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
            }
            // Icinga 2 does not answer a request without its blank line either.
            _ => return,
        }
    }
    seen.lock().unwrap().push(request.clone());
    let table = request
        .lines()
        .next()
        .unwrap()
        .trim_start_matches("GET ")
        .to_owned();
    let (status, body) = answer(answers, &table, &request);
    let frame = format!("{status} {:>11}\n{body}", body.len()).into_bytes();
    // The client may have gone away on purpose.
    let _ = stream.write_all(&damage(&table, frame));
}

fn answer(answers: &Answers, name: &str, request: &str) -> (u16, String) {
    let Answers {
        style,
        tables,
        too_large,
    } = answers;
    let style = *style;
    let header = |name: &str| {
        request
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    assert_eq!(header("ResponseHeader"), Some("fixed16"), "{request}");
    assert_eq!(header("OutputFormat"), Some("json"), "{request}");
    assert_ne!(header("ColumnHeaders"), Some("on"), "{request}");
    assert_eq!(header("Localtime"), None, "{request}");
    if name == "columns" && style == Style::Naemon {
        let of = header("Filter").unwrap().strip_prefix("table = ").unwrap();
        let table = tables.iter().find(|(name, _)| *name == of);
        let columns = table.map_or(&[][..], |(_, table)| &table.columns[..]);
        let rows: Vec<String> = columns.iter().map(|c| format!("[\"{c}\"]")).collect();
        return (200, format!("[{}]\n", rows.join(",\n")));
    }
    let Some((_, table)) = tables.iter().find(|(table, _)| *table == name) else {
        return match style {
            Style::Naemon => (
                404,
                format!("Invalid GET request, no such table '{name}'\n"),
            ),
            Style::Icinga2 => (404, format!("Table '{name}' does not exist.")),
        };
    };
    let mut places = Vec::new();
    for column in header("Columns").unwrap().split(' ') {
        match table.columns.iter().position(|name| *name == column) {
            Some(place) => places.push(Some(place)),
            None if style == Style::Naemon => places.push(None),
            None => return (452, format!("Error: no such column '{column}'")),
        }
    }
    let row = |cells: &Vec<String>| {
        let cells: Vec<&str> = places
            .iter()
            .map(|place| place.map_or("\"\"", |place| cells[place].as_str()))
            .collect();
        format!("[{}]", cells.join(","))
    };
    let rows: Vec<String> = table
        .rows
        .iter()
        .filter(|cells| passes(request, table, cells))
        .map(row)
        .collect();
    if too_large(name, rows.len()) {
        return (
            413,
            "Maximum response size of 1000 bytes exceeded!\n".to_owned(),
        );
    }
    match style {
        Style::Naemon => (200, format!("[{}]\n", rows.join(",\n"))),
        Style::Icinga2 => (200, format!("[{}]", rows.join(", "))),
    }
}

/// Whether a row is within the bounds that the request gives for names.
fn passes(request: &str, table: &Table, cells: &[String]) -> bool {
    request
        .lines()
        .filter_map(|line| line.strip_prefix("Filter: "))
        .all(|filter| {
            let words: Vec<&str> = filter.splitn(3, ' ').collect();
            let [column, operator, value] = words[..] else {
                panic!("{filter}");
            };
            let Some(place) = table.columns.iter().position(|name| *name == column) else {
                return true;
            };
            let cell = cells[place].trim_matches('"');
            match operator {
                "=" => cell == value,
                ">=" => cell >= value,
                "<" => cell < value,
                _ => panic!("{filter}"),
            }
        })
}

/// Rows written as `column = JSON` lines, a blank line after each row.
pub(crate) fn table(text: &'static str) -> Table {
    let mut table = Table::default();
    for block in text.trim().split("\n\n") {
        let cells: Vec<(&str, &str)> = block
            .lines()
            .map(|line| line.trim().split_once(" = ").unwrap())
            .collect();
        if table.columns.is_empty() {
            table.columns = cells.iter().map(|(column, _)| *column).collect();
        }
        let names: Vec<&str> = cells.iter().map(|(column, _)| *column).collect();
        assert_eq!(names, table.columns, "every row has the same columns");
        table
            .rows
            .push(cells.iter().map(|(_, cell)| (*cell).to_owned()).collect());
    }
    table
}
