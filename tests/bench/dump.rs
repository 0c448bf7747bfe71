//! `cmcdump` and `livedump` against the raw query for the same columns: what is
//! added to fetching the bytes at all.

mod delta;
mod import;
mod livedump;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use harness::program::built;
use harness::{Icinga2, Livestatusd, Tap, livestatus, wait_until};

use crate::measure::{Cost, run};
use crate::report::{Better, LIMIT, OURS, Report, Row, median};

const ROUNDS: usize = 7;

/// What a plain client asks for that wants what `livedump` says.
const PLAIN: &str = "has_been_checked state last_check execution_time latency \
    plugin_output long_plugin_output perf_data";

pub(crate) fn measure(report: &mut Report) {
    livedump::measure(report);
    import::measure(report);
    let server = own_server();
    let live = server.live("bench");
    let work = "state of 100,000 services";
    compare(report, work, "cmcdump", &live, "livestatusd");
    delta::measure(report, &server);
    drop(server);
    icinga2(report);
}

const HOSTS: usize = 1000;
const SERVICES: usize = 100;

/// A `livestatusd` with 100,000 services that were all checked.
fn own_server() -> Livestatusd {
    let server = Livestatusd::start_with(&["bench"], "allow_unmarked = true");
    configure(&server);
    let live = server.live("bench");
    submit(&live, own_names(), |number| (0, number));
    wait_until("all results are in", || {
        let filter = "Filter: has_been_checked = 0";
        livestatus::rows(&live, "services", &["state"], &[filter, "Limit: 1"]).is_empty()
    });
    server
}

fn own_names() -> impl Iterator<Item = (String, String)> {
    (0..HOSTS * SERVICES).map(|n| {
        (
            format!("host-{:04}", n / SERVICES),
            format!("Service {:03}", n % SERVICES),
        )
    })
}

/// Gives a server the hosts and services.
fn configure(server: &Livestatusd) {
    let mut configuration = String::from("shadow_hosts.update({\n");
    for host in 0..HOSTS {
        let _ = write!(
            configuration,
            "'host-{host:04}': {{'address': '10.0.0.1', 'services': {{"
        );
        for service in 0..SERVICES {
            let _ = write!(
                configuration,
                "'Service {service:03}': {{'max_check_attempts': 3}}, "
            );
        }
        configuration.push_str("}},\n");
    }
    configuration.push_str("})\n");
    server.configure("bench", configuration.as_bytes());
    let live = server.live("bench");
    wait_until("the configuration is in force", || {
        let rows = livestatus::rows(&live, "sites", &["num_services"], &[]);
        rows[0][0].as_u64() == Some((HOSTS * SERVICES) as u64)
    });
}

/// Services of each host of the Icinga 2.
const OF_ICINGA2: usize = 25;

fn icinga2(report: &mut Report) {
    for size in [10_000, 100_000] {
        let Some(icinga) = checked_icinga2(size) else {
            report.add(Row {
                work: format!("state of {size} services, Icinga 2"),
                program: "icinga2".into(),
                version: String::new(),
                figure: None,
                unit: "s wall",
                better: Better::Lower,
                note: "icinga2 is not installed".into(),
            });
            return;
        };
        let live = icinga.live();
        let work = format!("state of {size} services, Icinga 2");
        compare(report, &work, "cmcdump", &live, "icinga2");
        let work = format!("check results of {size}, Icinga 2");
        compare(report, &work, "livedump", &live, "icinga2");
    }
}

/// An Icinga 2 whose services were all checked.
fn checked_icinga2(size: usize) -> Option<Icinga2> {
    let mut objects = String::new();
    for host in 0..size / OF_ICINGA2 {
        let _ = writeln!(
            objects,
            "object Host \"host-{host:04}\" {{ import \"quiet\" }}"
        );
    }
    for service in 0..OF_ICINGA2 {
        let _ = writeln!(
            objects,
            "apply Service \"Service {service:03}\" {{ import \"quiet\"\nassign where true }}"
        );
    }
    let icinga = Icinga2::start("bench", &objects, &[])?;
    let names = (0..size).map(|n| {
        (
            format!("host-{:04}", n / OF_ICINGA2),
            format!("Service {:03}", n % OF_ICINGA2),
        )
    });
    submit(&icinga.live(), names, |number| (0, number));
    icinga.wait_for_rows("services", &["Filter: has_been_checked = 1"], size);
    Some(icinga)
}

/// Hands in a result for each service, as long as usual ones are. `vary` says
/// for each how many seconds later it was, and which figures it shows.
fn submit(
    socket: &Path,
    names: impl Iterator<Item = (String, String)>,
    vary: impl Fn(usize) -> (usize, usize),
) {
    let mut stream = UnixStream::connect(socket).expect("the server listens");
    // Some servers answer a command, and give up on a client that does not read.
    let mut answers = stream.try_clone().expect("a socket can be shared");
    let reader = std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
    let mut commands = String::new();
    for (number, (host, service)) in names.enumerate() {
        let state = number % 4;
        let (later, number) = vary(number);
        let time = 1_795_000_000 + later;
        let _ = write!(
            commands,
            "COMMAND [{time}] PROCESS_SERVICE_CHECK_RESULT;{host};{service};{state};\
             CHECK {state} - total 16.0 GiB, used {number} MiB, 17 processes in 4 groups|\
             total=17179869184B;;;0 used={number}MB;12000;14000;0;16384 procs=17;;;;\n\n"
        );
        if commands.len() > 1 << 20 {
            stream
                .write_all(commands.as_bytes())
                .expect("it takes commands");
            commands.clear();
        }
    }
    stream
        .write_all(commands.as_bytes())
        .expect("it takes commands");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    let _ = reader.join();
}

/// Runs one of our programs and the raw query for what it asks for in turn.
fn compare(report: &mut Report, work: &str, program: &str, socket: &Path, server: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let query = directory.path().join("query");
    let (ours, unixcat) = (built(program), built("unixcat"));
    let at = socket.to_str().expect("ASCII");
    std::fs::write(&query, asked(&ours, socket)).expect("a file");
    // A process can be slow for reasons of its own, so the two take turns.
    let rounds: Vec<(Cost, Cost)> = (0..ROUNDS)
        .map(|_| {
            let dump = run(&ours, &["--site", "bench", "-s", at], None);
            let raw = run(&unixcat, &[at], Some(&query));
            (dump, raw)
        })
        .collect();
    let of = |pick: fn(&(Cost, Cost)) -> f64| Some(median(rounds.iter().map(pick).collect()));
    let note = format!("{program}, median of {ROUNDS}, server {server}");
    let mut add = |program: &str, figure, unit, note: &str| {
        report.add(Row {
            work: work.into(),
            program: program.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure,
            unit,
            better: Better::Lower,
            note: note.into(),
        });
    };
    add(OURS, of(|round| round.0.wall), "s wall", &note);
    let raw = format!("raw query through unixcat to /dev/null; {note}");
    add(LIMIT, of(|round| round.1.wall), "s wall", &raw);
    add(
        OURS,
        of(|round| round.0.cpu),
        "s CPU",
        &format!("the client's own; {note}"),
    );
    add(LIMIT, of(|round| round.1.cpu), "s CPU", &raw);
    add(
        OURS,
        of(|round| round.0.memory),
        "MiB",
        &format!("resident; {note}"),
    );
    add(LIMIT, of(|round| round.1.memory), "MiB", &raw);
}

/// What a program asks for of hosts and services, on one connection.
fn asked(program: &Path, server: &Path) -> String {
    let tap = Tap::new(server);
    let at = tap.socket().to_str().expect("ASCII");
    run(program, &["--site", "bench", "-s", at], None);
    let of = |table: &str| {
        let asked = tap
            .requests()
            .into_iter()
            .find(|asked| asked.starts_with(table));
        asked.unwrap_or_else(|| panic!("{} has not asked: {table}", program.display()))
    };
    let hosts = of("GET hosts\n").replacen('\n', "\nKeepAlive: on\n", 1);
    hosts + &of("GET services\n")
}
