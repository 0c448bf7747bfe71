//! The same queries to a real Icinga 2 and to `livestatusd` with the same
//! objects: the answers are equal, or differ as `differences.rs` says.

mod answer;
mod differences;
mod objects;
mod query;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use harness::livestatus;
use serde_json::Value;

use answer::Answer;
use differences::{ANSWERS, CELLS, DUMP, OWN, OfCells, PENDING, Shape, WRITING};
use objects::{DUMPED, Servers, TOLD};
use query::Query;

const QUERIES: &str = include_str!("../../fixtures/queries.txt");

/// What tells the rows of a table apart.
const KEYS: &[(&str, &str)] = &[
    ("hosts", "name"),
    ("services", "host_name description"),
    ("status", ""),
    ("hostgroups", "name"),
    ("servicegroups", "name"),
    ("contacts", "name"),
    ("contactgroups", "name"),
    ("commands", "name"),
    ("timeperiods", "name"),
    ("comments", "host_name service_description comment"),
    ("downtimes", "host_name service_description comment"),
    ("hostsbygroup", "hostgroup_name name"),
    ("servicesbygroup", "servicegroup_name host_name description"),
    (
        "servicesbyhostgroup",
        "hostgroup_name host_name description",
    ),
];

/// The tables of what people said.
const REMARKS: &[&str] = &["comments", "downtimes"];

#[test]
fn queries_are_answered_as_icinga_2_answers_them() {
    let written = query::parse(QUERIES);
    assert!(written.len() >= 300, "only {} queries", written.len());
    let Some(servers) = objects::start() else {
        return;
    };
    let mut comparison = Comparison::new(&servers);
    let each_column = comparison.queries_of_each_column();
    for query in &each_column {
        if ["hosts", "services"].contains(&query.table()) {
            comparison.compare(query);
        }
    }
    servers.check();
    comparison.is_pending = false;
    for query in written.iter().chain(&each_column) {
        comparison.compare(query);
    }
    println!(
        "{} queries, and one for each of {} columns",
        written.len(),
        each_column.len()
    );
    comparison.finish();
}

#[test]
fn statehist_has_what_icinga_2_has() {
    let Some(servers) = objects::start() else {
        return;
    };
    let (theirs, ours) = (servers.icinga.live(), servers.central.live(DUMPED));
    let columns = livestatus::rows(&ours, "columns", &["name"], &["Filter: table = statehist"]);
    let names: Vec<&str> = columns.iter().filter_map(|row| row[0].as_str()).collect();
    let mut shared = Vec::new();
    for name in names {
        let text = format!(
            "GET statehist\nColumns: {name}\nFilter: time >= 1\nOutputFormat: json\nResponseHeader: fixed16\n"
        );
        let query = Query::new(text);
        assert!(matches!(ask(&ours, &query), Answer::Rows(_)), "{name}");
        if matches!(ask(&theirs, &query), Answer::Rows(_)) {
            shared.push(name);
        }
    }
    assert!(shared.len() >= 25, "Icinga 2 has only {shared:?}");
}

/// What has been compared so far.
struct Comparison<'s> {
    servers: &'s Servers,
    /// Whether nothing has been checked yet.
    is_pending: bool,
    /// Our types by table and column.
    types: BTreeMap<(String, String), String>,
    /// The expected differences that occurred, by their reason and column.
    occurred: BTreeSet<(&'static str, String)>,
    faults: Vec<String>,
}

impl<'s> Comparison<'s> {
    fn new(servers: &'s Servers) -> Self {
        let live = servers.central.live(DUMPED);
        let columns = livestatus::rows(&live, "columns", &["table", "name", "type"], &[]);
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let of_row = |row: &Vec<Value>| ((text(&row[0]), text(&row[1])), text(&row[2]));
        Self {
            servers,
            is_pending: true,
            types: columns.iter().map(of_row).collect(),
            occurred: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    /// For each column that both servers have, a query for it.
    fn queries_of_each_column(&mut self) -> Vec<Query> {
        let mut queries = Vec::new();
        for (table, keys) in KEYS {
            let mut names = self.their_columns(table);
            // What is joined to remarks is what hosts and services have.
            if REMARKS.contains(table) {
                names.retain(|name| !name.starts_with("host_") && !name.starts_with("service_"));
            }
            for name in names.iter().filter(|name| self.kind(table, name).is_some()) {
                let columns = format!("{keys} {name}");
                let mut text = format!("GET {table}\nColumns: {}\n", columns.trim_start());
                if *table == "commands" {
                    text.push_str("Filter: name = check_says\n");
                }
                queries.push(Query::new(text));
            }
        }
        queries
    }

    /// From the names above all columns, which are there if there are rows.
    fn their_columns(&mut self, table: &str) -> Vec<String> {
        let columns: &[&str] = match table {
            // There are no rows yet.
            "comments" => &[
                "author",
                "comment",
                "entry_time",
                "entry_type",
                "expire_time",
                "expires",
                "id",
                "is_service",
                "persistent",
                "source",
                "type",
            ],
            "downtimes" => &[
                "author",
                "comment",
                "duration",
                "end_time",
                "entry_time",
                "fixed",
                "id",
                "is_service",
                "start_time",
                "triggered_by",
                "type",
            ],
            _ => &[],
        };
        if !columns.is_empty() {
            return columns.iter().copied().map(str::to_owned).collect();
        }
        let query = Query::new(format!("GET {table}\nLimit: 1\n"));
        let Answer::Rows(rows) = ask(&self.servers.icinga.live(), &query) else {
            self.faults.push(format!("Icinga 2 has no table {table}"));
            return Vec::new();
        };
        let names = rows[0].iter().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    }

    /// Our type of a column, whatever stands before its name.
    fn kind(&self, table: &str, name: &str) -> Option<&str> {
        let of = |name: &str| self.types.get(&(table.to_owned(), name.to_owned()));
        let own = table.strip_suffix('s').unwrap_or(table);
        let plain = name
            .strip_prefix(own)
            .and_then(|rest| rest.strip_prefix('_'));
        of(name).or_else(|| of(plain?)).map(String::as_str)
    }

    fn compare(&mut self, query: &Query) {
        let site = if is_about_remarks(query) {
            TOLD
        } else {
            DUMPED
        };
        let (theirs, ours) = (self.servers.icinga.live(), self.servers.central.live(site));
        if query.is_cut() {
            self.compare_cut(query, &theirs, &ours);
            return;
        }
        let (theirs, ours) = (ask(&theirs, query), ask(&ours, query));
        if let Answer::Rows(rows) = &ours
            && let Some(disorder) = rows::disorder(query, rows)
        {
            self.faults.push(format!("{}{disorder}", query.text));
        }
        let difference = self.difference(query, &theirs, &ours);
        self.judge(query, &theirs, &ours, difference);
    }

    /// Which rows the first ones are is up to the server, so that only their
    /// number is compared. They must be among those that there are.
    fn compare_cut(&mut self, query: &Query, theirs: &Path, ours: &Path) {
        let whole = query.without("Limit").without("Offset");
        let first = [theirs, ours].map(|socket| {
            let (first, all) = (ask(socket, query), ask(socket, &whole));
            if let (Answer::Rows(first), Answer::Rows(all)) = (&first, &all)
                && let Some(stranger) = first.iter().find(|row| !all.contains(row))
            {
                let fault = format!("{}{stranger:?} is only there with a limit", query.text);
                self.faults.push(fault);
            }
            first
        });
        let [theirs, ours] = &first;
        let is_same = match (theirs, ours) {
            (Answer::Rows(theirs), Answer::Rows(ours)) => theirs.len() == ours.len(),
            _ => theirs == ours,
        };
        let difference = (!is_same).then(|| "another number of rows".to_owned());
        self.judge(query, theirs, ours, difference);
    }

    /// Why the answers are not the same, beside differences of cells and of
    /// writing that are known.
    fn difference(&mut self, query: &Query, theirs: &Answer, ours: &Answer) -> Option<String> {
        let (theirs, ours) = match (theirs, ours) {
            (Answer::Rows(theirs), Answer::Rows(ours)) => (theirs, ours),
            // The words are each server's own.
            (Answer::Fault(theirs, _), Answer::Fault(ours, _)) if theirs == ours => return None,
            _ if theirs == ours => return None,
            _ => return Some("another kind of answer".to_owned()),
        };
        let (mut theirs, mut ours) = match rows::with_same_columns(query, theirs, ours) {
            Ok(both) => both,
            Err(difference) => return Some(difference),
        };
        let names = ours.names.clone();
        let kind = |name: &String| self.kind(query.table(), name).unwrap_or("int");
        let kinds: Vec<_> = names.iter().map(kind).collect();
        let written = theirs.rewrite(query, &kinds);
        if let answer::Form::Csv(..) = query.form() {
            ours.take_lists_apart(query, &kinds);
        }
        if is_about_remarks(query) {
            theirs.forget_entry();
            ours.forget_entry();
        }
        for writing in written {
            let known = WRITING.iter().find(|known| known.0 == writing);
            let (_, why) = known.expect("all are listed");
            self.occurred.insert((why, String::new()));
        }
        let is_own =
            |name: &str| query.table() == "status" && OWN.split(' ').any(|own| own == name);
        rows::difference(&theirs, &ours, &is_own)?;
        let known: BTreeMap<&str, &OfCells> = names
            .iter()
            .filter_map(|name| Some((name.as_str(), self.known(query, name)?)))
            .collect();
        let difference = rows::difference(&theirs, &ours, &|name| {
            is_own(name) || known.contains_key(name)
        });
        if difference.is_none() {
            for (name, cells) in &known {
                let others =
                    |other: &str| is_own(other) || other != *name && known.contains_key(other);
                if rows::difference(&theirs, &ours, &others).is_some() {
                    self.occurred.insert((cells.why, bare(name).to_owned()));
                }
            }
        }
        difference
    }

    /// The expected difference of this column.
    fn known(&self, query: &Query, name: &str) -> Option<&'static OfCells> {
        let pending = if self.is_pending { PENDING } else { &[] };
        let dump = if is_about_remarks(query) { &[] } else { DUMP };
        pending.iter().chain(dump).chain(CELLS).find(|known| {
            let mut tables = known.tables.split(' ');
            let mut columns = known.columns.split_whitespace();
            tables.any(|other| other == "*" || other == query.table())
                && columns.any(|other| other == bare(name))
        })
    }

    /// Compares what is with what was expected.
    fn judge(&mut self, query: &Query, theirs: &Answer, ours: &Answer, difference: Option<String>) {
        let name = query.differs.as_deref();
        let known = name.and_then(|name| ANSWERS.iter().find(|known| known.name == name));
        let fault = match (difference, known) {
            (None, None) if name.is_none() => return,
            (_, None) if name.is_some() => "there is no such difference".to_owned(),
            (None, _) => "does not differ any more".to_owned(),
            (Some(_), Some(known))
                if shape(theirs) == known.theirs && shape(ours) == known.ours =>
            {
                self.occurred.insert((known.why, String::new()));
                return;
            }
            (Some(difference), _) => difference,
        };
        self.faults.push(format!(
            "{}{fault}\n  Icinga 2 {}\n  we       {}",
            query.text,
            theirs.short(),
            ours.short()
        ));
    }

    /// Fails the test if anything was not as expected.
    fn finish(self) {
        let answers = ANSWERS.iter().map(|known| (known.why, ""));
        let writing = WRITING.iter().map(|(_, why)| (*why, ""));
        let of_cells = |known: &'static OfCells| {
            known
                .columns
                .split_whitespace()
                .map(|name| (known.why, name))
        };
        let cells = CELLS.iter().chain(PENDING).chain(DUMP).flat_map(of_cells);
        let mut faults = self.faults;
        for (why, name) in answers.chain(writing).chain(cells) {
            if !self.occurred.contains(&(why, name.to_owned())) {
                faults.push(format!("occurred nowhere: {name} {why}"));
            }
        }
        assert!(
            faults.is_empty(),
            "{} faults\n\n{}",
            faults.len(),
            faults.join("\n\n")
        );
    }
}

/// Whether it is for the site that was told what people said.
fn is_about_remarks(query: &Query) -> bool {
    let of_remarks = |name: &&str| REMARKS.iter().any(|table| name.contains(table));
    query.of_comments || REMARKS.contains(&query.table()) || query.columns().iter().any(of_remarks)
}

fn ask(socket: &Path, query: &Query) -> Answer {
    let answer = livestatus::talk(socket, &query.bytes());
    let bytes = answer.unwrap_or_else(|error| panic!("{}{error}", query.text));
    Answer::parse(&bytes, query.form(), query.is_framed())
}

fn shape(answer: &Answer) -> Shape {
    match answer {
        Answer::Nothing => Shape::Nothing,
        Answer::Fault(status, _) => Shape::Fault(*status),
        Answer::Rows(_) => Shape::Rows,
        Answer::Other(_) => Shape::Other,
    }
}

/// A column without the prefix of what it is joined from.
fn bare(name: &str) -> &str {
    let prefixes = ["host_", "service_", "hostgroup_", "servicegroup_"];
    let rest = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    rest.filter(|rest| !["name", "description"].contains(rest))
        .unwrap_or(name)
}
