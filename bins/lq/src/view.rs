//! How the rows of hosts, services and the log look to people.

use livestatus::json::Row;

use crate::table::{Cell, Table, show};
use crate::words::{self, PENDING, State};

/// The usual columns of a table, and how they are shown.
pub(crate) struct View {
    /// The columns that are asked for, the same of every server. If sites are
    /// shown, too, the site comes after them.
    pub(crate) columns: &'static [&'static str],
    names: &'static [&'static str],
    show: fn(&Row) -> Line,
}

/// A row as it is shown, and where it belongs.
struct Line {
    cells: Vec<Cell>,
    order: Order,
}

/// Compared from the first to the last.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    time: i64,
    line: i64,
    best: u8,
    names: [String; 2],
}

pub(crate) const HOSTS: View = View {
    columns: &[
        "name",
        "state",
        "has_been_checked",
        "state_type",
        "current_attempt",
        "max_check_attempts",
        "acknowledged",
        "scheduled_downtime_depth",
        "is_flapping",
        "last_state_change",
        "plugin_output",
    ],
    names: &["HOST", "STATE", "FOR", "NOTE", "OUTPUT"],
    show: |row| {
        let host = show(row.cell(0));
        let state = current_state(row, State::host);
        let mut cells = vec![Cell::plain(host.clone())];
        cells.extend(condition(row, state));
        let names = [host, String::new()];
        Line {
            cells,
            order: Order::by_name(state, names),
        }
    },
};

pub(crate) const SERVICES: View = View {
    columns: &[
        "description",
        "state",
        "has_been_checked",
        "state_type",
        "current_attempt",
        "max_check_attempts",
        "acknowledged",
        "scheduled_downtime_depth",
        "is_flapping",
        "last_state_change",
        "plugin_output",
        "host_name",
    ],
    names: &["HOST", "SERVICE", "STATE", "FOR", "NOTE", "OUTPUT"],
    show: |row| {
        let names = [show(row.cell(11)), show(row.cell(0))];
        let state = current_state(row, State::service);
        let mut cells = names.clone().map(Cell::plain).to_vec();
        cells.extend(condition(row, state));
        Line {
            cells,
            order: Order::by_name(state, names),
        }
    },
};

pub(crate) const LOG: View = View {
    columns: &[
        "time",
        "lineno",
        "class",
        "type",
        "host_name",
        "service_description",
        "state",
        "plugin_output",
        "message",
    ],
    names: &["TIME", "TYPE", "HOST", "SERVICE", "STATE", "TEXT"],
    show: |row| {
        let int = |index| row.cell(index).int().unwrap_or(0);
        let (host, service) = (show(row.cell(4)), show(row.cell(5)));
        // Alerts, notifications, passive checks, initial and current states;
        // elsewhere the number means nothing.
        let has_state = matches!(int(2), 1 | 3 | 4 | 6) && !host.is_empty();
        let state = match (has_state, service.is_empty()) {
            (false, _) => None,
            (true, true) => State::host(row.cell(6).int()),
            (true, false) => State::service(row.cell(6).int()),
        };
        let text = match show(row.cell(7)) {
            output if !output.is_empty() => output,
            _ => show(row.cell(8)),
        };
        Line {
            cells: vec![
                Cell::plain(words::moment(int(0))),
                Cell::plain(show(row.cell(3))),
                Cell::plain(host),
                Cell::plain(service),
                state.map_or_else(|| Cell::plain(""), State::cell),
                Cell::plain(text),
            ],
            order: Order {
                time: int(0),
                line: int(1),
                best: 0,
                names: Default::default(),
            },
        }
    },
};

impl Order {
    fn by_name(state: Option<State>, names: [String; 2]) -> Self {
        Self {
            time: 0,
            line: 0,
            best: u8::MAX - state.map_or(0, |state| state.severity),
            names,
        }
    }
}

/// The state of the columns 1 and 2.
fn current_state(row: &Row, of: fn(Option<i64>) -> Option<State>) -> Option<State> {
    match row.cell(2).int() {
        Some(0) => Some(PENDING),
        _ => of(row.cell(1).int()),
    }
}

/// State, its age, what is to be noted, and output, of the columns 1 to 10.
fn condition(row: &Row, state: Option<State>) -> [Cell; 4] {
    let since = row.cell(9).int().unwrap_or(0);
    let age = match since {
        ..=0 => "-".to_owned(),
        _ if state == Some(PENDING) => "-".to_owned(),
        since => words::age((words::now() - since) as f64),
    };
    [
        state.map_or_else(|| Cell::plain(show(row.cell(1))), State::cell),
        Cell::plain(age),
        Cell::plain(note(row, state)),
        Cell::plain(show(row.cell(10))),
    ]
}

/// What else there is to say of the state.
fn note(row: &Row, state: Option<State>) -> String {
    let int = |index| row.cell(index).int().unwrap_or(0);
    let mut notes = Vec::new();
    if int(3) == 0 && state.is_some_and(|state| state.severity > 1) {
        notes.push(format!("soft {}/{}", int(4), int(5)));
    }
    for (index, word) in [(6, "acknowledged"), (7, "downtime"), (8, "flapping")] {
        if int(index) > 0 {
            notes.push(word.to_owned());
        }
    }
    notes.join(", ")
}

/// Rows as they come, shown in order at the end.
pub(crate) struct Lines {
    view: &'static View,
    /// Where the site stands in the rows, if they have it.
    site: Option<usize>,
    worst_first: bool,
    lines: Vec<(String, Line)>,
}

impl Lines {
    pub(crate) fn new(view: &'static View, with_site: bool, worst_first: bool) -> Self {
        Self {
            view,
            site: with_site.then_some(view.columns.len()),
            worst_first,
            lines: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: &Row) {
        let site = self.site.map_or_else(String::new, |at| show(row.cell(at)));
        let mut line = (self.view.show)(row);
        if !self.worst_first {
            line.order.best = 0;
        }
        self.lines.push((site, line));
    }

    pub(crate) fn table(mut self) -> Table {
        self.lines.sort_by(|(a_site, a), (b_site, b)| {
            let key = |line: &Line| (line.order.time, line.order.best);
            key(a)
                .cmp(&key(b))
                .then_with(|| a_site.cmp(b_site))
                .then_with(|| a.order.cmp(&b.order))
        });
        let site_name = self.site.map(|_| "SITE");
        let mut table = Table::new(site_name.into_iter().chain(self.view.names.iter().copied()));
        for (site, line) in self.lines {
            let mut cells = line.cells;
            if self.site.is_some() {
                cells.insert(0, Cell::plain(site));
            }
            table.push(cells);
        }
        table
    }
}

/// Columns that hold a moment.
const MOMENTS: [&str; 22] = [
    "last_check",
    "next_check",
    "last_state_change",
    "last_hard_state_change",
    "last_notification",
    "next_notification",
    "last_time_up",
    "last_time_down",
    "last_time_unreachable",
    "last_time_ok",
    "last_time_warning",
    "last_time_critical",
    "last_time_unknown",
    "last_update",
    "entry_time",
    "start_time",
    "end_time",
    "time",
    "state_time",
    "state_received_at",
    "config_time",
    "program_start",
];

/// A column that somebody asked for, and how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    AsItIs,
    Moment,
    /// States, with the place of the column that tells whether there is one yet.
    HostState(usize),
    ServiceState(usize),
}

/// How the columns of `table` are shown, and the columns to be asked for after
/// them in order to do so.
pub(crate) fn kinds(table: &str, columns: &[String]) -> (Vec<Kind>, Vec<&'static str>) {
    let mut more: Vec<&'static str> = Vec::new();
    let mut place = |name: &'static str| {
        let at = more.iter().position(|known| *known == name);
        columns.len()
            + at.unwrap_or_else(|| {
                more.push(name);
                more.len() - 1
            })
    };
    let kinds = columns
        .iter()
        .map(|column| match (table, column.as_str()) {
            ("hosts", "state" | "last_state" | "hard_state" | "last_hard_state") => {
                Kind::HostState(place("has_been_checked"))
            }
            ("services", "state" | "last_state" | "last_hard_state") => {
                Kind::ServiceState(place("has_been_checked"))
            }
            ("services", "host_state" | "host_last_state" | "host_last_hard_state") => {
                Kind::HostState(place("host_has_been_checked"))
            }
            (_, name) if MOMENTS.contains(&name.strip_prefix("host_").unwrap_or(name)) => {
                Kind::Moment
            }
            _ => Kind::AsItIs,
        })
        .collect();
    (kinds, more)
}

/// The cells of a row whose columns are of these kinds.
pub(crate) fn cells(row: &Row, kinds: &[Kind]) -> Vec<Cell> {
    kinds
        .iter()
        .enumerate()
        .map(|(index, kind)| {
            let cell = row.cell(index);
            let state = |state: fn(Option<i64>) -> Option<State>, checked| {
                if row.cell(checked).int() == Some(0) {
                    return Some(PENDING.cell());
                }
                state(cell.int()).map(State::cell)
            };
            let shown = match kind {
                Kind::AsItIs => None,
                Kind::Moment => cell.int().map(|time| Cell::plain(words::moment(time))),
                Kind::HostState(checked) => state(State::host, *checked),
                Kind::ServiceState(checked) => state(State::service, *checked),
            };
            shown.unwrap_or_else(|| Cell::plain(show(cell)))
        })
        .collect()
}
