//! What one site holds opens nothing of another: its ingest socket and its ssh
//! key deliver states for it, and do nothing else.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::livestatus::{command, rows, talk};
use harness::{Livestatusd, Sshd, wait_until};
use serde_json::{Value, json};

/// Hosts of every site of these stories: the first is delivered by dumps, the
/// second by passive results, so that it can be commented where it is shown.
const HOSTS: [&str; 2] = ["localhost", "passive"];
const SERVICES: [&str; 3] = ["CPU load", "Disk /", "Ping"];

const TIME: u64 = 1_795_217_983;

/// CRC-32C, bit by bit: the test has no code of ours.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// A shadow configuration with these hosts, each with all services.
fn configuration(site: &str, hosts: &[&str]) -> Vec<u8> {
    let services = SERVICES.map(|name| format!("'{name}': {{'max_check_attempts': 1}}"));
    let lines = hosts.iter().map(|host| {
        format!(
            "'{host}': {{'max_check_attempts': 1, 'services': {{{}}}}},\n",
            services.join(", ")
        )
    });
    let body = format!("shadow_hosts.update({{\n{}}})\n", lines.collect::<String>());
    format!(
        "# sitewire 1 config site={site} seq=1 epoch=1 mode=full time={TIME}\n{body}\
         # sitewire-end records={} crc32c={:08x}\n",
        hosts.len() * (1 + SERVICES.len()),
        crc32c(body.as_bytes())
    )
    .into_bytes()
}

/// A line of a dump, with the empty one after it.
fn line(text: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("COMMAND [{TIME}] ");
    [head.as_bytes(), text.as_ref(), b"\n\n"].concat()
}

/// What follows the names in a record: checked, in this state, with this output.
fn fields(state: u8, output: &str) -> String {
    format!("1;{state};1;1;{TIME};{TIME};{TIME};0.1;0.1;0;0;0;0;0;0;{output};;")
}

fn host_record(host: impl AsRef<[u8]>, state: u8, output: &str) -> Vec<u8> {
    let fields = fields(state, output);
    line(
        [
            b"UPDATE_SHADOW_HOST_STATE;",
            host.as_ref(),
            b";",
            fields.as_bytes(),
        ]
        .concat(),
    )
}

fn service_record(host: impl AsRef<[u8]>, service: &str, state: u8, output: &str) -> Vec<u8> {
    let rest = format!(";{service};{}", fields(state, output));
    line(
        [
            b"UPDATE_SHADOW_SERVICE_STATE;",
            host.as_ref(),
            rest.as_bytes(),
        ]
        .concat(),
    )
}

/// The beginning of a full dump.
fn begin(site: &str, epoch: u64, sequence: u64) -> Vec<u8> {
    line(format!(
        "SITEWIRE_BEGIN;1;{site};state;{sequence};;{epoch};full;;{TIME}"
    ))
}

/// A frame that fits around `records`.
fn framed(site: &str, epoch: u64, sequence: u64, records: &[Vec<u8>]) -> Vec<u8> {
    let body = records.concat();
    let end = format!(
        "SITEWIRE_END;{sequence};{};{:08x}",
        records.len(),
        crc32c(&body)
    );
    [begin(site, epoch, sequence), body, line(end)].concat()
}

/// The host that comes by dumps, and its services.
fn states(state: u8, output: &str) -> Vec<Vec<u8>> {
    let host = host_record(HOSTS[0], 0, output);
    let services = SERVICES.map(|name| service_record(HOSTS[0], name, state, output));
    [vec![host], services.to_vec()].concat()
}

/// A whole dump as the site itself would send it.
fn dump(site: &str, epoch: u64, sequence: u64, state: u8, output: &str) -> Vec<u8> {
    framed(site, epoch, sequence, &states(state, output))
}

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

/// Nobody who has not seen it can say it.
fn secret() -> String {
    let mut bytes = [0; 16];
    let mut source = std::fs::File::open("/dev/urandom").expect("the system has random numbers");
    source.read_exact(&mut bytes).expect("it does not end");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two sites with the same names, in which all of b's texts have `secret` in them.
fn two_sites(secret: &str) -> Livestatusd {
    let central = Livestatusd::start(&["a", "b"]);
    for site in ["a", "b"] {
        let file = format!("etc/shadow/{site}/shadow.mk");
        central.site.write(file, configuration(site, &HOSTS));
    }
    central.process.hang_up();
    wait_until("the configuration is in force", || {
        rows(&central.merged(), "hosts", &["name"], &[]).len() == 2 * HOSTS.len()
    });
    for (site, output) in [("a", "fine"), ("b", secret)] {
        let answer = talk(&central.ingest(site), &dump(site, 1, 1, 1, output)).unwrap();
        assert_eq!(text(&answer), "taken 4, unknown 0, refused 0\n", "{site}");
        let host = HOSTS[1];
        let results = SERVICES
            .map(|name| format!("PROCESS_SERVICE_CHECK_RESULT;{host};{name};2;{output}|x=1"));
        let live = central.live(site);
        command(
            &live,
            [format!("PROCESS_HOST_CHECK_RESULT;{host};1;{output}")],
        );
        command(&live, results);
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let end = now + 86_400;
    command(
        &central.live("b"),
        [
            format!("ADD_HOST_COMMENT;passive;1;me;{secret}"),
            format!("ADD_SVC_COMMENT;passive;Ping;1;me;{secret}"),
            format!("ACKNOWLEDGE_SVC_PROBLEM;passive;Disk /;2;0;1;me;{secret}"),
            format!("SCHEDULE_HOST_DOWNTIME;passive;{now};{end};1;0;0;me;{secret}"),
            format!("SCHEDULE_SVC_DOWNTIME;passive;Ping;{now};{end};1;0;0;me;{secret}"),
        ],
    );
    wait_until("all of b is said", || {
        rows(&central.live("b"), "downtimes", &["id"], &[]).len() == 2
    });
    central
}

/// Columns that tell the time that has passed, whoever does what.
const CLOCKS: [&str; 5] = [
    "staleness",
    "host_staleness",
    "service_staleness",
    "state_age",
    "config_age",
];

/// All columns of a table but the clocks.
fn whole(socket: &Path, table: &str, filter: &str) -> Vec<Value> {
    let query = format!("GET {table}\n{filter}ColumnHeaders: on\nOutputFormat: json\n\n");
    let answer = talk(socket, query.as_bytes()).unwrap();
    let mut rows: Vec<Vec<Value>> = serde_json::from_slice(&answer)
        .unwrap_or_else(|error| panic!("{error} in {:?}", text(&answer)));
    let names = rows.remove(0);
    let kept = |row: Vec<Value>| {
        let cells = names.iter().zip(row);
        let cells = cells.filter(|(name, _)| !CLOCKS.iter().any(|clock| *name == clock));
        let cells = cells.map(|(name, cell)| (name.as_str().unwrap().to_owned(), cell));
        Value::Object(cells.collect())
    };
    rows.into_iter().map(kept).collect()
}

/// All there is of site b, on its own socket and on the merged one.
fn all_of_b(central: &Livestatusd) -> Vec<(&'static str, Vec<Value>)> {
    let mut all = Vec::new();
    for table in ["hosts", "services", "comments", "downtimes"] {
        let own = whole(&central.live("b"), table, "");
        assert!(!own.is_empty(), "{table}");
        all.push((table, own));
        all.push((table, whole(&central.merged(), table, "Filter: site = b\n")));
    }
    let sites = whole(&central.merged(), "sites", "Filter: site = b\n");
    assert_eq!(sites.len(), 1);
    all.push(("sites", sites));
    all
}

/// What a restart keeps of site b; that of the full tables which it does not
/// keep, such as the time of an update, is not a's doing.
fn lasting(central: &Livestatusd) -> Vec<Vec<Value>> {
    let state = "state plugin_output last_check acknowledged scheduled_downtime_depth comments";
    let said = "id host_name service_description author comment entry_time";
    let tables = [
        ("hosts", format!("name {state}")),
        ("services", format!("host_name description {state}")),
        ("comments", said.to_owned()),
        ("downtimes", format!("{said} start_time end_time")),
        (
            "sites",
            "state_complete state_reason state_time claimed_site".to_owned(),
        ),
    ];
    let live = central.live("b");
    let filter = ["Filter: site = b"];
    tables
        .iter()
        .flat_map(|(table, columns)| rows(&live, table, &[columns.as_str()], &filter))
        .collect()
}

#[track_caller]
fn assert_untouched(before: &[(&'static str, Vec<Value>)], central: &Livestatusd, when: &str) {
    for ((table, old), (_, new)) in before.iter().zip(all_of_b(central)) {
        assert_eq!(old.len(), new.len(), "{when}: rows of {table}");
        for (old, new) in old.iter().zip(&new) {
            let cells = |row: &Value| row.as_object().expect("a row has names").clone();
            for ((name, old), (_, new)) in cells(old).iter().zip(&cells(new)) {
                assert_eq!(old, new, "{when}: {name} of {table}");
            }
        }
    }
}

/// Paths of all files and sockets of a site, but for the snapshot's comings and goings.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            } else if !text(entry.file_name().as_encoded_bytes()).contains("snapshot") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Something that a's ingest socket should not do.
struct Attempt {
    name: String,
    bytes: Vec<u8>,
}

/// Collects attempts, numbering the dumps among them upwards, so that none is
/// refused only for its age.
#[derive(Default)]
struct Attempts {
    all: Vec<Attempt>,
    sequence: u64,
}

impl Attempts {
    fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.all.push(Attempt {
            name: name.into(),
            bytes: bytes.into(),
        });
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence + 1000
    }

    fn queries(&mut self) {
        for table in [
            "hosts",
            "services",
            "hostgroups",
            "servicegroups",
            "hostsbygroup",
            "servicesbygroup",
            "servicesbyhostgroup",
            "comments",
            "downtimes",
            "log",
            "status",
            "sites",
            "columns",
            "contacts",
            "contactgroups",
            "commands",
            "timeperiods",
            "statehist",
        ] {
            for headers in [
                "",
                "ResponseHeader: fixed16\n",
                "ResponseHeader: fixed16\nKeepAlive: on\n",
                "Filter: site = b\nOutputFormat: json\nAuthUser: b\n",
            ] {
                let query = format!("GET {table}\n{headers}\n");
                self.add(query.clone(), query);
            }
        }
    }

    fn commands(&mut self) {
        let object = [HOSTS[1], SERVICES[2]];
        let [host, service] = object;
        for text in [
            format!("PROCESS_HOST_CHECK_RESULT;{host};1;taken over"),
            format!("PROCESS_SERVICE_CHECK_RESULT;{host};{service};0;taken over"),
            format!("PROCESS_SERVICE_CHECK_RESULT;b/{host};{service};0;taken over"),
            format!("ACKNOWLEDGE_HOST_PROBLEM;{host};2;1;1;me;x"),
            format!("ACKNOWLEDGE_SVC_PROBLEM;{host};{service};2;1;1;me;x"),
            format!("REMOVE_HOST_ACKNOWLEDGEMENT;{host}"),
            format!("REMOVE_SVC_ACKNOWLEDGEMENT;{host};Disk /"),
            format!("ADD_HOST_COMMENT;{host};1;me;x"),
            format!("ADD_SVC_COMMENT;{host};{service};1;me;x"),
            "DEL_HOST_COMMENT;1".to_owned(),
            "DEL_SVC_COMMENT;2".to_owned(),
            format!("DEL_ALL_HOST_COMMENTS;{host}"),
            format!("DEL_ALL_SVC_COMMENTS;{host};{service}"),
            format!("SCHEDULE_HOST_DOWNTIME;{host};1;4000000000;1;0;0;me;x"),
            format!("SCHEDULE_SVC_DOWNTIME;{host};{service};1;4000000000;1;0;0;me;x"),
            format!("SCHEDULE_HOST_SVC_DOWNTIME;{host};1;4000000000;1;0;0;me;x"),
            "DEL_HOST_DOWNTIME;1".to_owned(),
            "DEL_SVC_DOWNTIME;2".to_owned(),
            format!("DEL_DOWNTIME_BY_HOST_NAME;{host}"),
            "PROCESS_FILE;/etc/passwd;0".to_owned(),
            "LOG;b was here".to_owned(),
            "SHUTDOWN_PROGRAM".to_owned(),
            "RESTART_PROGRAM".to_owned(),
            "SAVE_STATE_INFORMATION".to_owned(),
            "ROTATE_LOG".to_owned(),
            "DISABLE_NOTIFICATIONS".to_owned(),
            "STOP_EXECUTING_SVC_CHECKS".to_owned(),
            format!("DISABLE_HOST_CHECK;{host}"),
            format!("SCHEDULE_FORCED_SVC_CHECK;{host};{service};1"),
            format!("CHANGE_CUSTOM_HOST_VAR;{host};_SITE;b"),
            format!("CHANGE_HOST_CHECK_COMMAND;{host};sh -c id"),
            format!("SEND_CUSTOM_HOST_NOTIFICATION;{host};1;me;x"),
        ] {
            self.add(text.clone(), line(&text));
            let name = format!("{text} in a dump that claims b");
            let sequence = self.next();
            self.add(name, framed("b", 1, sequence, &[line(&text)]));
        }
    }

    fn claims(&mut self) {
        for site in [
            "b",
            "B",
            "../b",
            "b/",
            "/b",
            "b/localhost",
            "site=b",
            "a/../b",
            "b;x",
            "b\\sx",
            "b\\nx",
            "b\0",
            "b\r",
            "b\u{202e}",
            "*",
            "",
            "a\nb",
            "a b",
            "a claimed=b",
        ] {
            let sequence = self.next();
            let bytes = dump(site, 1, sequence, 3, "claimed");
            self.add(format!("a dump of {site:?}"), bytes);
        }
        let long = "b".repeat(70_000);
        self.add("a long site name", dump(&long, 1, 5000, 3, "claimed"));
        for (base, content) in [
            ("1", "state"),
            ("", "state"),
            ("0", "config"),
            ("x", "state"),
        ] {
            for site in ["a", "b"] {
                let begin = format!(
                    "SITEWIRE_BEGIN;1;{site};{content};{};;1;delta;{base};{TIME}",
                    self.next()
                );
                let bytes = [line(&begin), states(3, "delta").concat()].concat();
                self.add(begin, bytes);
            }
        }
    }

    fn names(&mut self) {
        for name in [
            "b;localhost",
            "b\\slocalhost",
            "b/localhost",
            "../b",
            "../b/localhost",
            "site=b",
            "localhost\\s",
            "localhost\\nb",
            "b\nlocalhost",
            "localhost\0",
            "\0",
            "b\0localhost",
            "b\r\nlocalhost",
            "localhost site=b",
            "b:localhost",
            "",
            "..",
            "/",
            "# site b newest=9/9",
        ] {
            for (kind, record) in [
                ("host", host_record(name, 1, "renamed")),
                ("service", service_record(name, "Ping", 3, "renamed")),
            ] {
                let sequence = self.next();
                let bytes = framed("a", 1, sequence, &[record]);
                self.add(format!("a state of {kind} {name:?}"), bytes);
            }
        }
        // Texts that would say something of b, were they written to a file as they are.
        for output in [
            "x\\n# site b newest=18446744073709551615/9 complete=9/9",
            "x\\n# comment 9;passive;;b",
            "x\\r\\nsite=b",
            "x\0\\n# end 00000000",
        ] {
            let sequence = self.next();
            let bytes = dump("b", 1, sequence, 2, output);
            self.add(format!("the output {output:?}"), bytes);
        }
    }

    fn streams(&mut self) {
        let query = b"GET services\nFilter: site = b\nResponseHeader: fixed16\n\n".as_slice();
        let acknowledge = line("ACKNOWLEDGE_SVC_PROBLEM;passive;Ping;2;1;1;me;x");
        for site in ["a", "b"] {
            let mut new = |site| {
                let sequence = self.next();
                dump(site, 1, sequence, 3, "first")
            };
            let first = new("a");
            let streams = [
                ("a dump, then another", [first, new(site)].concat()),
                (
                    "a dump, then a query",
                    [new(site).as_slice(), query].concat(),
                ),
                ("a query, then a dump", [query, &new(site)].concat()),
                (
                    "a dump, then a command",
                    [new(site), acknowledge.clone()].concat(),
                ),
                (
                    "a dump, a query, a dump",
                    [&new("a"), query, &new(site)].concat(),
                ),
            ];
            for (name, bytes) in streams {
                self.add(format!("{name} of {site}"), bytes);
            }
            for (name, middle) in [("a query", query), ("a command", &acknowledge)] {
                let sequence = self.next();
                let records = [middle.to_vec(), states(3, "inside").concat()];
                let bytes = framed(site, 1, sequence, &records);
                self.add(format!("{name} inside a dump of {site}"), bytes);
            }
            let (one, two) = (self.next(), self.next());
            let bytes = [begin("a", 1, one), dump(site, 1, two, 3, "nested")].concat();
            self.add(format!("a dump inside another, of {site}"), bytes);
        }
        for end in [
            "SITEWIRE_END;1;4;00000000",
            "SITEWIRE_END;1;18446744073709551615;ffffffff",
            "SITEWIRE_END;99999999999999999999999;1;x",
            "SITEWIRE_END;-1;-1;-1",
            "SITEWIRE_END",
            "SITEWIRE_END;b;b;b",
        ] {
            self.add(format!("{end} alone"), line(end));
            let sequence = self.next();
            let bytes = [
                begin("b", 1, sequence),
                states(3, "forged").concat(),
                line(end),
            ];
            self.add(format!("{end} after states"), bytes.concat());
        }
    }

    fn garbage(&mut self) {
        let sequence = self.next();
        let good = dump("b", 1, sequence, 3, "half");
        for cut in (1..good.len() - 2).step_by(good.len() / 24) {
            self.add(format!("a dump cut at {cut}"), &good[..cut]);
        }
        for seed in 1..=16_u32 {
            let noise =
                (1..3000_u32).map(|n| (n * seed).wrapping_mul(2_654_435_761).to_be_bytes()[0]);
            let noise: Vec<u8> = noise.collect();
            let sequence = self.next();
            self.add(format!("noise {seed}"), noise.as_slice());
            let bytes = framed("b", 1, sequence, &[noise]);
            self.add(format!("noise {seed} in a dump"), bytes);
        }
        for (name, bytes) in [
            (
                "HTTP",
                b"GET /live.d/b HTTP/1.1\r\nHost: b\r\n\r\n".to_vec(),
            ),
            (
                "TLS",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            ),
            ("a line without end", vec![b'b'; 3 << 20]),
            ("NUL bytes", vec![0; 4096]),
            ("huge lengths", vec![0xff; 4096]),
            ("only line feeds", b"\n".repeat(1000)),
            ("half a query", b"GET serv".to_vec()),
            (
                "a query behind line feeds",
                b"\n\nGET services\n\n".to_vec(),
            ),
            ("a query behind a space", b" GET services\n\n".to_vec()),
            ("a small query", b"get services\n\n".to_vec()),
        ] {
            self.add(name, bytes);
        }
    }

    /// These must come last: afterwards everything else of a is old.
    fn ages(&mut self) {
        for site in ["a", "b"] {
            for (epoch, sequence) in [
                (0, 0),
                (0, u64::MAX),
                (1, 1 << 40),
                (1, u64::MAX),
                (u64::MAX, 0),
                (u64::MAX, u64::MAX),
            ] {
                let name = format!("epoch {epoch}, sequence {sequence} of {site}");
                self.add(name, dump(site, epoch, sequence, 3, "aged"));
            }
        }
        let beyond = "SITEWIRE_BEGIN;1;b;state;18446744073709551616;;18446744073709551616;full;;1";
        self.add(beyond, line(beyond));
        let far = "SITEWIRE_BEGIN;1;b;state;18446744073709551615;;18446744073709551615;full;;99999999999999999999";
        self.add(far, line(far));
    }
}

/// Sends all of it and reads until the other side closes. Only the half-close
/// ends a stream of dumps, but a query must not wait for it.
fn deliver(socket: &Path, attempt: &Attempt, half_close: bool) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    // It may be refused, and closed, before all is sent.
    let _ = stream.write_all(&attempt.bytes);
    if half_close {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let reset = error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(reset, "{}: {error} after {:?}", attempt.name, text(&answer));
    }
    answer
}

/// Every line is the answer to a dump, or a refusal.
#[track_caller]
fn assert_harmless(name: &str, answer: &[u8], secret: &str) {
    let answer = text(answer);
    assert!(!answer.contains(secret), "{name}: {answer}");
    assert!(!answer.is_empty(), "{name}: no answer");
    for line in answer.lines() {
        let known = ["taken ", "incomplete: ", "refused: "];
        assert!(
            known.iter().any(|word| line.starts_with(word)),
            "{name}: {answer}"
        );
    }
}

#[test]
fn whoever_delivers_for_one_site_reads_and_changes_nothing_of_another() {
    let secret = secret();
    let central = two_sites(&secret);
    let before = all_of_b(&central);
    let all_files = files(central.site.directory());
    assert!(format!("{before:?}").contains(&secret));
    let ingest = central.ingest("a");

    let mut attempts = Attempts::default();
    attempts.queries();
    attempts.commands();
    attempts.claims();
    attempts.names();
    attempts.streams();
    attempts.garbage();
    let mut count = 0;
    let mut attack = |attempts: Vec<Attempt>| {
        for attempt in attempts {
            let answer = deliver(&ingest, &attempt, true);
            assert_harmless(&attempt.name, &answer, &secret);
            count += 1;
            if attempt.bytes.starts_with(b"GET ") && attempt.bytes.ends_with(b"\n\n") {
                let answer = deliver(&ingest, &attempt, false);
                assert_harmless(&attempt.name, &answer, &secret);
                assert!(answer.starts_with(b"refused: "), "{}", attempt.name);
                count += 1;
            }
            // A cheap look each time, so that a failure names its cause.
            let outputs = rows(&central.live("b"), "services", &["plugin_output"], &[]);
            assert!(
                outputs.iter().all(|row| row[0] == json!(secret)),
                "{}",
                attempt.name
            );
        }
    };
    let newest = attempts.next();
    attack(attempts.all);
    assert_untouched(&before, &central, "after the attempts");
    let answer = talk(&central.ingest("a"), &dump("a", 1, newest + 5000, 0, "own")).unwrap();
    assert_eq!(text(&answer), "taken 4, unknown 0, refused 0\n");

    let mut attempts = Attempts::default();
    attempts.ages();
    attack(attempts.all);
    assert!(count >= 200, "only {count} attempts");
    println!("{count} attempts");
    assert_untouched(&before, &central, "after dumps of every age");
    assert_eq!(files(central.site.directory()), all_files);

    // Not only what is shown: what was written down is b's own, too.
    let written = lasting(&central);
    let central = central.restart();
    assert_eq!(lasting(&central), written, "after a restart");
    for (site, epoch, sequence) in [("a", u64::MAX, u64::MAX), ("b", 1, 2)] {
        let bytes = dump(site, epoch, sequence, 0, "well again");
        let answer = talk(&central.ingest(site), &bytes).unwrap();
        assert_eq!(text(&answer), "taken 4, unknown 0, refused 0\n", "{site}");
        let filter = ["Filter: host_name = localhost"];
        assert_eq!(
            rows(
                &central.live(site),
                "services",
                &["state", "plugin_output"],
                &filter
            ),
            [
                [json!(0), json!("well again")],
                [json!(0), json!("well again")],
                [json!(0), json!("well again")]
            ]
        );
    }
}

#[test]
fn a_key_that_delivers_for_one_site_opens_nothing_else() {
    let Some(sshd) = Sshd::start() else { return };
    let secret = secret();
    let central = two_sites(&secret);
    let before = all_of_b(&central);
    let (own, other) = (central.ingest("a"), central.live("b"));
    sshd.force_command(&format!("unixcat {}", own.display()));
    let query = "GET services\nResponseHeader: fixed16\n\n";
    let other_text = other.display();
    for what in [
        format!("unixcat {other_text}"),
        format!("unixcat {}", central.ingest("b").display()),
        format!("unixcat {}", central.merged().display()),
        format!("; unixcat {other_text}"),
        format!("$(unixcat {other_text})"),
        format!(
            "cat {}",
            central.site.path("etc/shadow/b/shadow.mk").display()
        ),
        format!(
            "cat {}",
            central.site.path("var/livestatusd.snapshot").display()
        ),
        String::new(),
        "sh".to_owned(),
    ] {
        for (option, bytes) in [
            ("", query.as_bytes().to_vec()),
            ("-tt", query.as_bytes().to_vec()),
            ("", dump("b", 1, 9, 3, "by ssh")),
            ("-o SendEnv=LANG -A -X", query.as_bytes().to_vec()),
        ] {
            let script = format!("ssh {option} localhost '{what}'");
            let outcome = sshd.bash(&script).input(bytes).run();
            let said = outcome.text() + &outcome.errors();
            assert!(!said.contains(&secret), "{script}: {said}");
            // Whoever insists on a terminal is given nothing at all.
            if option != "-tt" || !outcome.stdout.is_empty() {
                assert_harmless(&script, &outcome.stdout, &secret);
            }
        }
    }
    // A forwarded socket is one of the local side only.
    let local = central.site.path("forwarded");
    let script = format!("exec ssh -N -L {}:{other_text} localhost", local.display());
    let forwarding = sshd.bash(&script).with_family().start();
    wait_until("ssh listens", || local.exists());
    let attempt = Attempt {
        name: "a forwarded socket".to_owned(),
        bytes: query.into(),
    };
    assert_eq!(text(&deliver(&local, &attempt, true)), "");
    forwarding.kill();

    assert_untouched(&before, &central, "after what ssh can do");
    let outcome = sshd
        .bash("ssh localhost")
        .input(dump("a", 1, 10, 0, "own"))
        .run();
    assert_eq!(outcome.success().text(), "taken 4, unknown 0, refused 0\n");
}

#[test]
fn a_hundred_sites_with_the_same_host_names_stand_side_by_side() {
    let names: Vec<String> = (0..100).map(|number| format!("site{number:02}")).collect();
    let sites: Vec<&str> = names.iter().map(String::as_str).collect();
    let central = Livestatusd::start(&sites);
    for site in &sites {
        let file = format!("etc/shadow/{site}/shadow.mk");
        central
            .site
            .write(file, configuration(site, &["localhost"]));
    }
    central.process.hang_up();
    wait_until("the configuration is in force", || {
        rows(&central.merged(), "services", &["host_name"], &[]).len() == 100 * SERVICES.len()
    });
    let state = |number: usize| (number % 4) as u8;
    let output = |site: &str| format!("this is {site}");
    for (number, site) in sites.iter().enumerate() {
        let bytes = dump(site, 1, 1, state(number), &output(site));
        let answer = talk(&central.ingest(site), &bytes).unwrap();
        assert_eq!(text(&answer), "taken 4, unknown 0, refused 0\n", "{site}");
    }

    let columns = ["site", "host_name", "description", "state", "plugin_output"];
    let mut expected = Vec::new();
    for (number, site) in sites.iter().enumerate() {
        let own = SERVICES.map(|name| {
            [
                json!(site),
                json!("localhost"),
                json!(name),
                json!(state(number)),
                json!(output(site)),
            ]
            .to_vec()
        });
        assert_eq!(
            sorted(rows(&central.live(site), "services", &columns, &[])),
            own
        );
        assert_eq!(
            rows(
                &central.live(site),
                "hosts",
                &["site", "name", "plugin_output"],
                &[]
            ),
            [[json!(site), json!("localhost"), json!(output(site))]]
        );
        expected.extend(own);
    }
    assert_eq!(
        sorted(rows(&central.merged(), "services", &columns, &[])),
        expected
    );
    let hosts = sorted(rows(&central.merged(), "hosts", &["site", "name"], &[]));
    let all: Vec<_> = sites
        .iter()
        .map(|site| vec![json!(site), json!("localhost")])
        .collect();
    assert_eq!(hosts, all);

    for result in [
        "PROCESS_HOST_CHECK_RESULT;localhost;1;whose?",
        "PROCESS_SERVICE_CHECK_RESULT;localhost;Ping;2;whose?",
    ] {
        let answer = text(&talk(&central.merged(), &line(result)).unwrap());
        let ambiguous =
            answer.starts_with("400: ") && answer.contains("host 'localhost' is at site");
        assert!(ambiguous, "{answer}");
    }
    assert_eq!(
        sorted(rows(&central.merged(), "services", &columns, &[])),
        expected
    );

    // Meant for one, it reaches that one.
    command(
        &central.live("site42"),
        ["PROCESS_SERVICE_CHECK_RESULT;localhost;Ping;1;mine"],
    );
    let changed = rows(
        &central.merged(),
        "services",
        &["site"],
        &["Filter: plugin_output = mine"],
    );
    assert_eq!(changed, [[json!("site42")]]);
}

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    rows.sort_by_key(|row| row.iter().map(Value::to_string).collect::<Vec<_>>());
    rows
}
