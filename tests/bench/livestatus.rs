//! `livestatusd` beside Icinga 2 with the same objects: dumps, filters, figures,
//! small queries, results and states taken in, memory, start.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use harness::{Icinga2, Livestatusd, Program, livestatus, wait_until};

use crate::load::{Connections, latencies, queries_per_second};
use crate::measure::Family;
use crate::report::{Better, OURS, Report, Row, median};

const ROUNDS: usize = 5;
const SERVICES_OF_A_HOST: usize = 100;
const SITE: &str = "bench";
/// How long small queries are asked while dumps come and go.
const MEANWHILE: Duration = Duration::from_secs(5);

/// The 25 columns of a dump, all of which every server has.
const COLUMNS: &str = "host_name description state has_been_checked state_type current_attempt \
    last_check last_state_change last_hard_state_change execution_time latency is_flapping \
    percent_state_change acknowledged acknowledgement_type scheduled_downtime_depth staleness \
    plugin_output long_plugin_output perf_data check_command groups contacts max_check_attempts \
    host_address";

/// Measured on a machine of the same kind with 100,000 services. Neither is
/// here: no package has them together with Livestatus.
const RECORDED: &[(&str, &str, f64, &str, Better)] = &[
    ("dump csv", "naemon", 0.42, "s CPU", Better::Lower),
    ("dump json", "naemon", 0.55, "s CPU", Better::Lower),
    ("dump csv", "icinga2", 2.4, "s CPU", Better::Lower),
    ("dump json", "icinga2", 3.4, "s CPU", Better::Lower),
    (
        "comments with info",
        "naemon",
        86.0,
        "s wall",
        Better::Lower,
    ),
    (
        "small queries, 1 kept",
        "naemon",
        12_900.0,
        "1/s",
        Better::Higher,
    ),
    ("passive results", "naemon", 5_600.0, "1/s", Better::Higher),
    ("passive results", "icinga2", 3_000.0, "1/s", Better::Higher),
    ("resident", "naemon", 231.0, "MiB", Better::Lower),
];

/// The queries of which CPU time and duration are told.
fn queries() -> Vec<(&'static str, String)> {
    let host = "Filter: host_name = host-0005\n";
    let stats = "Stats: state = 0\nStats: state = 1\nStats: state = 2\nStats: state = 3\n\
        Stats: has_been_checked = 0\nStats: scheduled_downtime_depth > 0\n";
    vec![
        (
            "dump csv",
            format!("Columns: {COLUMNS}\nOutputFormat: csv\n"),
        ),
        ("dump json", format!("Columns: {COLUMNS}\n")),
        (
            "filter by host",
            format!("Columns: description state plugin_output\n{host}"),
        ),
        (
            "filter by state",
            "Columns: host_name description plugin_output\nFilter: state = 2\n".into(),
        ),
        (
            "regular expression",
            "Columns: host_name description\nFilter: plugin_output ~ used 9.*7 MiB\n".into(),
        ),
        ("six Stats", stats.into()),
        (
            "Stats by host",
            "Columns: host_name\nStats: state = 0\nStats: state = 2\n".into(),
        ),
        (
            "comments with info",
            "Columns: host_name description comments_with_info downtimes_with_info\n".into(),
        ),
    ]
}

pub(crate) fn measure(report: &mut Report) {
    for services in [1_000, 10_000, 100_000] {
        let bench = Bench::new(services);
        bench.queries(report);
        bench.small_queries(report);
        bench.take_in(report);
        bench.sorted(report);
        bench.small_queries_meanwhile(report);
        if services == 100_000 {
            bench.memory(report);
            bench.start_again(report);
            recorded(report);
        }
    }
}

fn recorded(report: &mut Report) {
    for (work, program, figure, unit, better) in RECORDED {
        report.add(Row {
            work: format!("100000: {work}"),
            program: (*program).to_owned(),
            version: String::new(),
            figure: Some(*figure),
            unit,
            better: *better,
            note: "recorded, not run here".to_owned(),
        });
    }
}

/// Both servers with the same objects.
struct Bench {
    services: usize,
    ours: Livestatusd,
    theirs: Option<Icinga2>,
    /// Of theirs.
    version: String,
    /// How many comments a second they took.
    comments: [Option<Figures>; 2],
}

impl Bench {
    fn new(services: usize) -> Self {
        let theirs = Icinga2::start(SITE, &objects(services), &[]);
        let ours = Livestatusd::start_with(&[SITE], "allow_unmarked = true");
        ours.configure(SITE, configuration(services).as_bytes());
        let live = ours.live(SITE);
        wait_until("the configuration is in force", || {
            let rows = livestatus::rows(&live, "sites", &["num_services"], &[]);
            rows[0][0].as_u64() == Some(services as u64)
        });
        let mut bench = Self {
            services,
            ours,
            theirs,
            version: version(),
            comments: [None, None],
        };
        for (place, socket) in bench.sockets().into_iter().enumerate() {
            let Some(socket) = socket else { continue };
            submit(&socket, services, 0);
            let seconds = hand_in(&socket, remarks(services));
            let rate = remarks(services).count() as f64 / seconds;
            bench.comments[place] = Some(Ok(vec![rate]));
        }
        bench
    }

    fn is_ours(&self, socket: &Path) -> bool {
        socket.starts_with(self.ours.site.directory())
    }

    /// Ours, and theirs if they are there.
    fn sockets(&self) -> [Option<PathBuf>; 2] {
        [
            Some(self.ours.live(SITE)),
            self.theirs.as_ref().map(Icinga2::live),
        ]
    }

    fn families(&self) -> [Option<Family>; 2] {
        let theirs = self
            .theirs
            .as_ref()
            .map(|icinga| Family::of_group(icinga.pid()));
        [Some(Family::of_process(self.ours.process.pid())), theirs]
    }

    fn add(
        &self,
        report: &mut Report,
        work: &str,
        figures: [Option<Figures>; 2],
        unit: &'static str,
        better: Better,
        note: &str,
    ) {
        let programs = [
            (OURS, env!("CARGO_PKG_VERSION").to_owned()),
            ("icinga2", self.version.clone()),
        ];
        for ((program, version), figures) in programs.into_iter().zip(figures) {
            let (figure, note) = match figures {
                Some(Ok(figures)) => {
                    let count = figures.len();
                    (Some(median(figures)), format!("median of {count}{note}"))
                }
                Some(Err(reason)) => (None, reason),
                None if self.theirs.is_some() => continue,
                None => (None, "not installed".to_owned()),
            };
            report.add(Row {
                work: format!("{}: {work}", self.services),
                program: program.into(),
                version: version.clone(),
                figure,
                unit,
                better,
                note,
            });
        }
    }

    /// The two take turns.
    fn queries(&self, report: &mut Report) {
        let families = self.families();
        for (work, query) in queries() {
            let request = format!("GET services\nResponseHeader: fixed16\n{query}");
            let mut cpu = [Vec::new(), Vec::new()];
            let mut wall = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (place, socket) in self.sockets().into_iter().enumerate() {
                    let (Some(socket), Some(family)) = (socket, &families[place]) else {
                        continue;
                    };
                    let before = family.cpu();
                    wall[place].push(time_of(&socket, &request));
                    cpu[place].push(family.cpu() - before);
                }
            }
            let [cpu, wall] = [cpu, wall].map(|figures| figures.map(present));
            self.add(report, work, cpu, "s CPU", Better::Lower, ", server only");
            self.add(report, work, wall, "s wall", Better::Lower, "");
        }
    }

    fn small_queries(&self, report: &mut Report) {
        for (connections, kind) in [(Connections::Kept, "kept"), (Connections::New, "anew")] {
            for clients in [1, 32] {
                let parks = clients > 4 && connections == Connections::Kept;
                let mut figures = [Ok(Vec::new()), Ok(Vec::new())];
                for _ in 0..3 {
                    for (socket, figures) in self.sockets().into_iter().zip(&mut figures) {
                        if let (Some(socket), Ok(rates)) = (socket, &mut *figures) {
                            let theirs = !self.is_ours(&socket);
                            if theirs && parks {
                                *figures = Err("stops answering when more connections than twice the cores are kept".to_owned());
                                continue;
                            }
                            match queries_per_second(
                                &socket,
                                clients,
                                connections,
                                Duration::from_secs(1),
                            ) {
                                Ok(rate) => rates.push(rate),
                                Err(error) => *figures = Err(error.to_string()),
                            }
                        }
                    }
                }
                let [ours, theirs] = figures;
                let theirs = self.theirs.as_ref().map(|_| theirs);
                let work = format!("small queries, {clients} {kind}");
                self.add(
                    report,
                    &work,
                    [Some(ours), theirs],
                    "1/s",
                    Better::Higher,
                    " with the clients on the same machine",
                );
            }
        }
    }

    /// Results by COMMAND, and whole dumps.
    fn take_in(&self, report: &mut Report) {
        let mut rates = [Vec::new(), Vec::new()];
        for round in 1..=3 {
            for (socket, rates) in self.sockets().into_iter().zip(&mut rates) {
                if let Some(socket) = socket {
                    let seconds = submit(&socket, self.services, round);
                    rates.push(self.services as f64 / seconds);
                }
            }
        }
        self.add(
            report,
            "passive results",
            rates.map(present),
            "1/s",
            Better::Higher,
            "",
        );

        let work = "comments by COMMAND";
        let rates = self.comments.clone();
        self.add(report, work, rates, "1/s", Better::Higher, "");

        let mut rates = Vec::new();
        let mut cpu = Vec::new();
        let other = Livestatusd::start_with(&[SITE], "allow_unmarked = true");
        other.configure(SITE, configuration(self.services).as_bytes());
        let live = other.live(SITE);
        wait_until("the configuration is in force", || {
            let rows = livestatus::rows(&live, "sites", &["num_services"], &[]);
            rows[0][0].as_u64() == Some(self.services as u64)
        });
        let family = Family::of_process(other.process.pid());
        for _ in 0..ROUNDS {
            let dump = self.dump();
            let states = (self.services + self.services / SERVICES_OF_A_HOST) as f64;
            let before = family.cpu();
            let seconds = send_dump(&other.ingest(SITE), &dump, states as u64);
            rates.push(states / seconds);
            cpu.push(family.cpu() - before);
        }
        let only_ours = |figures| [Some(Ok(figures)), Some(Err("takes no dumps".to_owned()))];
        self.add(
            report,
            "states by dump",
            only_ours(rates),
            "1/s",
            Better::Higher,
            " into ingest.d",
        );
        self.add(
            report,
            "dump taken in",
            only_ours(cpu),
            "s CPU",
            Better::Lower,
            "",
        );
        if self.services == 100_000 {
            let figures = [Some(Ok(vec![family.memory()])), None];
            self.add(
                report,
                "resident after dumps",
                figures,
                "MiB",
                Better::Lower,
                ", after five dumps, before any query",
            );
        }
    }

    /// All rows in another order, which Icinga 2 leaves to its clients.
    fn sorted(&self, report: &mut Report) {
        let request = format!(
            "GET services\nResponseHeader: fixed16\nColumns: {COLUMNS}\nSort: plugin_output desc\n"
        );
        let family = Family::of_process(self.ours.process.pid());
        let cpu = (0..ROUNDS).map(|_| {
            let before = family.cpu();
            time_of(&self.ours.live(SITE), &request);
            family.cpu() - before
        });
        let unknown = || Some(Err("does not sort".to_owned()));
        let figures = [Some(Ok(cpu.collect())), unknown()];
        let work = "dump json, sorted";
        self.add(report, work, figures, "s CPU", Better::Lower, "");
    }

    /// Small queries while a dump is answered and another is taken in, again and
    /// again.
    fn small_queries_meanwhile(&self, report: &mut Report) {
        let (live, ingest) = (self.ours.live(SITE), self.ours.ingest(SITE));
        let states = (self.services + self.services / SERVICES_OF_A_HOST) as u64;
        let request = format!("GET services\nResponseHeader: fixed16\nColumns: {COLUMNS}\n");
        // Always the same: comments of its own come back to it as those of a site,
        // and would be more with every new dump.
        let dump = self.dump();
        let stop = AtomicBool::new(false);
        let mut seconds = std::thread::scope(|scope| {
            let asking = scope.spawn(|| latencies(&live, &stop));
            let answered = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    time_of(&live, &request);
                }
            });
            let began = Instant::now();
            while began.elapsed() < MEANWHILE {
                send_dump(&ingest, &dump, states);
            }
            stop.store(true, Ordering::Relaxed);
            answered.join().expect("it answers");
            asking.join().expect("no panic").expect("it answers")
        });
        seconds.sort_by(f64::total_cmp);
        for (percent, words) in [(50, "p50"), (99, "p99")] {
            let figure = seconds[(seconds.len() * percent / 100).min(seconds.len() - 1)] * 1e3;
            let work = format!("small query meanwhile, {words}");
            let figures = [
                Some(Ok(vec![figure])),
                Some(Err("takes no dumps".to_owned())),
            ];
            let note = format!(
                ", of {} queries while dumps are answered and taken in",
                seconds.len()
            );
            self.add(report, &work, figures, "ms", Better::Lower, &note);
        }
    }

    /// What `cmcdump` says of ours.
    fn dump(&self) -> Vec<u8> {
        let socket = self.ours.live(SITE);
        let outcome = Program::new("cmcdump")
            .args(["--site", SITE, "-s"])
            .arg(socket)
            .run();
        outcome.success().stdout
    }

    fn memory(&self, report: &mut Report) {
        let resident = |family: Family| Ok(vec![family.memory()]);
        let memory = self.families().map(|family| family.map(resident));
        let note = ", after all of the above";
        self.add(report, "resident", memory, "MiB", Better::Lower, note);
    }

    /// Ends ours with its snapshot written, and starts it again.
    fn start_again(mut self, report: &mut Report) {
        let mut seconds = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..3 {
            let site = self.ours.stop();
            let began = Instant::now();
            self.ours = Livestatusd::start_again(site);
            let checked = "Filter: has_been_checked = 1";
            let count = stats(&self.ours.live(SITE), &[checked, "Stats: state >= 0"]);
            seconds.push(began.elapsed().as_secs_f64());
            assert_eq!(count, self.services as u64, "not all states are there");
            memory.push(Family::of_process(self.ours.process.pid()).memory());
        }
        let note = ", configuration and snapshot read, until the first answer";
        let work = "start from snapshot";
        let seconds = [Some(Ok(seconds)), None];
        self.add(report, work, seconds, "s wall", Better::Lower, note);
        let work = "resident after start";
        let memory = [Some(Ok(memory)), None];
        self.add(report, work, memory, "MiB", Better::Lower, "");
    }
}

/// What Icinga 2 calls itself.
fn version() -> String {
    let output = std::process::Command::new("icinga2")
        .arg("--version")
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let version = text.split_once("version: r").map_or("", |(_, rest)| rest);
    version.split(')').next().unwrap_or_default().to_owned()
}

/// Of one server, or why there are none.
type Figures = Result<Vec<f64>, String>;

fn present(figures: Vec<f64>) -> Option<Figures> {
    (!figures.is_empty()).then_some(Ok(figures))
}

fn names(services: usize) -> impl Iterator<Item = (usize, String)> {
    (0..services).map(|number| {
        let (host, service) = (number / SERVICES_OF_A_HOST, number % SERVICES_OF_A_HOST);
        (number, format!("host-{host:04};Service {service:03}"))
    })
}

/// For Icinga 2.
fn objects(services: usize) -> String {
    let mut objects =
        String::from("object HostGroup \"linux\" { }\nobject ServiceGroup \"disks\" { }\n");
    for host in 0..services / SERVICES_OF_A_HOST {
        let _ = writeln!(
            objects,
            "object Host \"host-{host:04}\" {{ import \"quiet\"\naddress = \"10.0.0.1\", groups = [ \"linux\" ] }}"
        );
    }
    for service in 0..SERVICES_OF_A_HOST {
        let _ = writeln!(
            objects,
            "apply Service \"Service {service:03}\" {{ import \"quiet\"\ngroups = [ \"disks\" ]\nassign where true }}"
        );
    }
    objects
}

/// For ours.
fn configuration(services: usize) -> String {
    let mut text = String::from("shadow_hosts.update({\n");
    for host in 0..services / SERVICES_OF_A_HOST {
        let _ = write!(
            text,
            "'host-{host:04}': {{'address': '10.0.0.1', 'groups': ['linux'], 'check_command': 'check_says!', 'services': {{"
        );
        for service in 0..SERVICES_OF_A_HOST {
            let _ = write!(
                text,
                "'Service {service:03}': {{'max_check_attempts': 3, 'check_interval': 5.0, 'groups': ['disks'], 'check_command': 'check_says!'}}, "
            );
        }
        text.push_str("}},\n");
    }
    text.push_str("})\n");
    text
}

/// Hands in a result for each service, as long as usual ones are, and sees that
/// it was taken; returns the seconds it took.
fn submit(socket: &Path, services: usize, round: usize) -> f64 {
    let hosts = (0..services / SERVICES_OF_A_HOST).map(|host| {
        format!("PROCESS_HOST_CHECK_RESULT;host-{host:04};0;PING OK - 0.1 ms|rta=0.1ms")
    });
    hand_in(socket, hosts);
    let results = names(services).map(|(number, name)| {
        let state = number % 4;
        format!(
            "PROCESS_SERVICE_CHECK_RESULT;{name};{state};CHECK {state} - total 16.0 GiB, used {number} MiB, \
             {round} processes in 4 groups|total=17179869184B;;;0 used={number}MB;12000;14000;0;16384 procs=17;;;;"
        )
    });
    let seconds = hand_in(socket, results);
    let taken = format!("Stats: plugin_output ~ , {round} processes");
    assert_eq!(
        stats(socket, &[&taken]),
        services as u64,
        "not all results were taken"
    );
    seconds
}

/// Comments on seven of a hundred services.
fn remarks(services: usize) -> impl Iterator<Item = String> {
    let chosen = names(services).filter(|(number, _)| number % 100 < 7);
    chosen.map(|(_, name)| format!("ADD_SVC_COMMENT;{name};1;admin;it will be replaced next week"))
}

/// Hands commands in and waits until they are done; returns the seconds.
fn hand_in(socket: &Path, commands: impl Iterator<Item = String>) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    let mut text = String::new();
    for command in commands {
        let _ = write!(text, "COMMAND [{now}] {command}\n\n");
    }
    // The answer comes when all before it is done.
    text.push_str("GET status\nColumns: program_start\nResponseHeader: fixed16\n\n");
    let began = Instant::now();
    let mut stream = UnixStream::connect(socket).expect("the server listens");
    stream
        .write_all(text.as_bytes())
        .expect("it takes commands");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("200 "), "{text}");
    began.elapsed().as_secs_f64()
}

fn send_dump(socket: &Path, dump: &[u8], states: u64) -> f64 {
    let began = Instant::now();
    let mut stream = UnixStream::connect(socket).expect("the server listens");
    stream.write_all(dump).expect("it takes dumps");
    stream.shutdown(Shutdown::Write).expect("connected");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let taken = answer
        .strip_prefix("taken ")
        .and_then(|rest| rest.strip_suffix(", unknown 0, refused 0\n"))
        .and_then(|taken| taken.parse::<u64>().ok());
    // Comments are records, too.
    assert!(taken.is_some_and(|taken| taken >= states), "{answer}");
    began.elapsed().as_secs_f64()
}

/// Seconds until the last byte of the answer, which is thrown away.
fn time_of(socket: &Path, request: &str) -> f64 {
    let format = if request.contains("OutputFormat") {
        ""
    } else {
        "OutputFormat: json\n"
    };
    let began = Instant::now();
    let mut stream = UnixStream::connect(socket).expect("the server listens");
    stream
        .write_all(format!("{request}{format}\n").as_bytes())
        .expect("it takes queries");
    let mut buffer = vec![0; 256 * 1024];
    let mut first = true;
    loop {
        let count = stream.read(&mut buffer).expect("it answers");
        if count == 0 {
            return began.elapsed().as_secs_f64();
        }
        assert!(!first || buffer.starts_with(b"200 "), "{request}");
        first = false;
    }
}

/// The one figure of a query on services.
fn stats(socket: &Path, headers: &[&str]) -> u64 {
    let query = format!(
        "GET services\n{}\nOutputFormat: json\n\n",
        headers.join("\n")
    );
    let answer = livestatus::talk(socket, query.as_bytes()).expect("it answers");
    let rows: Vec<Vec<u64>> = serde_json::from_slice(&answer).expect("a figure");
    rows[0][0]
}
