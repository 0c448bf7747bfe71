//! `livedump` against a server whose answers are ready, beside a client in
//! Python that does no more than read the same rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use harness::peer;
use harness::program::built;

use crate::measure::{Cost, run};
use crate::report::{Better, OURS, Report, Row, median};

const ROUNDS: usize = 5;
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// Services of a host.
const SERVICES: usize = 100;

pub(super) fn measure(report: &mut Report) {
    for size in SIZES {
        let server = Canned::start(size);
        let socket = server.socket.to_str().expect("ASCII").to_owned();
        for (work, flags) in [("check results", &[][..]), ("objects", &["-C", "-T"])] {
            let work = format!("{work} of {size} services");
            let args = [&["--site", "bench", "-s", &socket], flags].concat();
            // The first run makes the server's answers.
            run(&built("livedump"), &args, None);
            let rounds = (0..ROUNDS)
                .map(|_| run(&built("livedump"), &args, None))
                .collect();
            add(report, &work, OURS, rounds, "canned server");
            python(report, &work, &server, flags.is_empty());
            if size == 100_000 {
                recorded(report, &work, flags.is_empty());
            }
        }
    }
}

fn add(report: &mut Report, work: &str, program: &str, rounds: Vec<Cost>, note: &str) {
    for (unit, pick) in [
        ("s wall", (|cost| cost.wall) as fn(&Cost) -> f64),
        ("s CPU", |cost| cost.cpu),
        ("MiB", |cost| cost.memory),
    ] {
        report.add(Row {
            work: work.into(),
            program: program.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure: Some(median(rounds.iter().map(pick).collect())),
            unit,
            better: Better::Lower,
            note: format!("{note}, median of {ROUNDS}"),
        });
    }
}

/// From a study on a machine of the same kind; the program itself needs Python
/// and a core that knows its output format.
fn recorded(report: &mut Report, work: &str, is_state: bool) {
    let figures = match is_state {
        true => [(6.4, "s CPU"), (837.0, "MiB")],
        false => [(10.0, "s CPU"), (1126.0, "MiB")],
    };
    for (figure, unit) in figures {
        report.add(Row {
            work: work.into(),
            program: "livedump".into(),
            version: "2.2.0".into(),
            figure: Some(figure),
            unit,
            better: Better::Lower,
            note: "recorded, not run here: the original in Python, canned server".into(),
        });
    }
}

/// Reads the rows of the queries on its command line, and nothing else.
const PYTHON: &str = r#"
import json, socket, sys
for query in sys.argv[2:]:
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall(query.encode())
    f = s.makefile("rb")
    head = f.read(16)
    assert head[:3] == b"200", head
    rows = json.loads(f.read(int(head[4:15])))
    for row in rows:
        pass
"#;

fn python(report: &mut Report, work: &str, server: &Canned, is_state: bool) {
    let Some(python) = peer::find("python3") else {
        return;
    };
    let columns = match is_state {
        true => super::PLAIN,
        false => "groups max_check_attempts contacts",
    };
    let query = |table: &str, names: &str| {
        format!(
            "GET {table}\nColumns: {names} {columns}\nOutputFormat: json\nResponseHeader: fixed16\n\n"
        )
    };
    let queries = [
        query("hosts", "name"),
        query("services", "host_name description"),
    ];
    let socket = server.socket.to_str().expect("ASCII");
    let args = ["-c", PYTHON, socket, &queries[0], &queries[1]];
    run(&python, &args, None);
    let rounds = (0..ROUNDS).map(|_| run(&python, &args, None)).collect();
    add(report, work, "python3", rounds, "only reads the rows");
}

/// A Livestatus server with the manners of Icinga 2, which makes each answer
/// once.
struct Canned {
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Canned {
    fn start(services: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("live");
        let listener = UnixListener::bind(&socket).expect("a socket");
        std::thread::spawn(move || {
            let mut answers = BTreeMap::new();
            for stream in listener.incoming().flatten() {
                // A client may go away on purpose.
                let _ = serve(stream, services, &mut answers);
            }
        });
        Self {
            socket,
            _directory: directory,
        }
    }
}

fn serve(
    mut stream: UnixStream,
    services: usize,
    answers: &mut BTreeMap<String, Vec<u8>>,
) -> std::io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut request)? > 1 {}
    let of = |name: &str| request.lines().find_map(|line| line.strip_prefix(name));
    let table = of("GET ").unwrap_or_default();
    let columns = of("Columns: ").unwrap_or_default();
    let answer = answers
        .entry(format!("{table} {columns}"))
        .or_insert_with(|| answer(table, columns, services));
    stream.write_all(answer)
}

fn answer(table: &str, columns: &str, services: usize) -> Vec<u8> {
    let rows = match table {
        "status" => 1,
        "hosts" => services / SERVICES,
        "services" => services,
        _ => 0,
    };
    let mut body = String::from("[");
    for number in 0..rows {
        body.push_str(if number == 0 { "[" } else { ",\n[" });
        for (place, column) in columns.split(' ').enumerate() {
            body.push_str(if place == 0 { "" } else { "," });
            push_cell(&mut body, table, column, number);
        }
        body.push(']');
    }
    body.push_str("]\n");
    let head = format!("200 {:>11}\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

fn push_cell(out: &mut String, table: &str, column: &str, number: usize) {
    let host = if table == "services" {
        number / SERVICES
    } else {
        number
    };
    let written = match column {
        "program_version" => write!(out, "\"r2.13.6-1\""),
        "livestatus_version" => write!(out, "\"r2.13.6-1\""),
        "name" | "host_name" | "alias" => write!(out, "\"host-{host:04}\""),
        "description" => write!(out, "\"Service {:03}\"", number % SERVICES),
        "address" => write!(out, "\"10.0.0.1\""),
        "groups" => write!(out, "[\"all\",\"group-{}\"]", number % 7),
        "contacts" => write!(out, "[\"alice\",\"bob\"]"),
        "max_check_attempts" => write!(out, "3"),
        "has_been_checked" => write!(out, "1"),
        "state" => write!(out, "{}", number % 3),
        "last_check" => write!(out, "{}", 1_795_000_000 + number % 300),
        "execution_time" | "latency" => write!(out, "0.{:03}", number % 1000),
        "plugin_output" => write!(
            out,
            "\"CHECK {number} - total 16.0 GiB, used {number} MiB, 17 processes in 4 groups\""
        ),
        "perf_data" => write!(
            out,
            "\"total=17179869184B;;;0 used={number}MB;12000;14000;0;16384 procs=17;;;;\""
        ),
        _ => write!(out, "\"\""),
    };
    written.expect("memory takes all");
}
