//! Dumps that somebody wrote who wants more than to be shown: no importer does
//! what they say, each tells why, and none is filled up by a line without end.

use std::fs;
use std::path::Path;

use harness::livestatus::{rows, talk};
use harness::{Livestatusd, Outcome, Program, Site, wait_until};
use serde_json::json;

use crate::remote_site;

/// What a configuration could try in Python. `@` is a file that must not be made.
const PYTHON: &[&str] = &[
    "import os\nos.system('touch @')",
    "__import__('os').system('touch @')",
    "shadow_hosts.update({'a': {'address': __import__('os').system('touch @')}})",
    "shadow_hosts.update({'a': {'alias': open('@', 'w')}})",
    "shadow_hosts.update({'a': {}}) or open('@', 'w')",
    "shadow_hosts.update({'a': {}}); open('@', 'w')",
    "shadow_hosts.update(eval(\"open('@', 'w')\"))",
    "shadow_hosts.update({open('@', 'w'): {}})",
    "shadow_hosts.update({**{'a': {}}})",
    "shadow_hosts.update({x: {} for x in ['a']})",
    "shadow_hosts.update({'a': {'alias': f'{open(chr(64))}'}})",
    "shadow_hosts.update({'a': {'alias': 'a' + 'b'}})",
    "shadow_hosts.update({'a': {'alias': '%s' % 'b'}})",
    "shadow_hosts.update({'a': {'alias': (lambda: 'b')()}})",
    "shadow_hosts.update({'a': {'alias': 'b' if 1 else 'c'}})",
    "shadow_hosts.update({'a': {'services': {'x': {'alias': exec('pass')}}}})",
    "shadow_hosts = shadow_hosts or {}",
    "shadow_hosts['a'] = {}",
    "all_hosts += ['a']",
    "extra_nagios_conf = 'define command {}'",
    "@decorator\ndef f(): pass",
    "shadow_hosts.update({'a': {'alias': b'x'}})",
    "shadow_hosts.update({'../a': {}, 'a\\nb': {}})",
];

/// A configuration in its frame, with the right sums.
fn framed(sequence: usize, body: &str) -> String {
    format!(
        "# sitewire 1 config site=remote1 seq={sequence} epoch=0 mode=full time=1795000000\n\
         {body}\n# sitewire-end records=1 crc32c={:08x}\n",
        crc32c::crc32c(format!("{body}\n").as_bytes())
    )
}

fn cmcload(at: &Path, more: &[&str]) -> Program {
    Program::new("cmcload")
        .args(["--site", "remote1"])
        .args(more)
        .arg(at)
}

fn liveload(site: &Site, more: &[&str]) -> Program {
    Program::new("liveload")
        .args(["--site", "remote1", "--ledger"])
        .arg(site.path("var/ledger"))
        .args(more)
}

#[test]
fn python_that_is_more_than_a_literal_is_not_run_by_anybody() {
    let central = Livestatusd::start(&["remote1"]);
    let site = &central.site;
    let owned = site.path("owned");
    let into = Site::new("centre");
    let nested = format!(
        "shadow_hosts.update({}0{})",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let mut bodies: Vec<String> = PYTHON
        .iter()
        .map(|body| body.replace('@', &owned.display().to_string()))
        .collect();
    bodies.push(nested);
    for (number, body) in bodies.iter().enumerate() {
        let dump = framed(number + 1, body);
        let shown = &body[..body.len().min(80)];
        let etc = into.path("etc");
        let outcomes: [Outcome; 2] = [
            cmcload(&etc, &["--directory"]).input(dump.as_str()).run(),
            liveload(&into, &["--backend", "livestatusd", "--config-dir"])
                .arg(&etc)
                .input(dump.as_str())
                .run(),
        ];
        for outcome in outcomes {
            assert_eq!(outcome.code(), Some(1), "{shown}: {outcome:?}");
            // It says where, or that this is no such configuration at all.
            let said = outcome.errors();
            let why = [
                "input: 2:",
                "input:2:",
                "livestatusd takes the configurations",
            ];
            assert!(why.iter().any(|why| said.contains(why)), "{shown}: {said}");
        }
        let left: Vec<_> = fs::read_dir(&etc).expect("it is there").collect();
        assert!(left.is_empty(), "{shown}: {left:?}");
        central.configure("remote1", dump.as_bytes());
        wait_until("livestatusd refuses it", || {
            let all = central.process.log();
            let said = all
                .iter()
                .filter(|line| line.contains("configuration not taken"));
            said.count() == number + 1
        });
        assert!(!owned.exists(), "{shown}");
    }
    let config = rows(
        &central.merged(),
        "sites",
        &["num_hosts", "config_error"],
        &[],
    );
    assert_eq!(config[0][0], json!(0));
    assert_ne!(config[0][1], json!(""));
}

/// A state dump of one host with lines of somebody else in it, framed with the
/// right sums. Returns what stands before and what comes after.
fn states_with(sequence: usize, lines: &str) -> String {
    let fields = "1;0;1;1;1795000000;0;0;0.1;0.1;0;0;0;0;0;0;mine;;";
    let body = format!(
        "COMMAND [1] UPDATE_SHADOW_HOST_STATE;localhost;{fields}\n\n{lines}\
         COMMAND [1] UPDATE_SHADOW_HOST_STATE;localhost;{fields}\n\n"
    );
    let records = body.matches("UPDATE_SHADOW").count();
    format!(
        "COMMAND [1] SITEWIRE_BEGIN;1;remote1;state;{sequence};;0;full;;1795000000\n\n{body}\
         COMMAND [1] SITEWIRE_END;{sequence};{records};{:08x}\n\n",
        crc32c::crc32c(body.as_bytes())
    )
}

#[test]
fn a_state_dump_says_states_and_nothing_else() {
    let remote = remote_site::start();
    let configuration = Program::new("cmcdump")
        .args(["-C", "--site", "remote1", "-s"])
        .arg(remote.live("remote1"))
        .run()
        .success()
        .stdout;
    for (number, lines) in [
        "COMMAND [1] SHUTDOWN_PROGRAM\n\n",
        "COMMAND [1] PROCESS_SERVICE_CHECK_RESULT;localhost;Disk /;2;evil\n\n",
        "COMMAND [1] PROCESS_HOST_CHECK_RESULT;victim;2;evil\n\n",
        "COMMAND [1] ACKNOWLEDGE_HOST_PROBLEM;victim;2;0;0;a;evil\n\n",
        "GET hosts\nColumns: name address\n\n",
        "COMMAND [1] UPDATE_SHADOW_HOST_STATE;victim;1;1;1;1;1;0;0;0;0;0;0;0;0;0;0;evil;;\n\n",
        "COMMAND [1] UPDATE_SHADOW_HOST_STATE;localhost;9;9;9;x;evil\n\n",
        "COMMAND [1] SITEWIRE_BEGIN;1;other;state;9;;0;full;;1795000000\n\n",
    ]
    .into_iter()
    .enumerate()
    {
        // What livestatusd is told by whom.
        for way in ["unixcat", "cmcload"] {
            let central = Livestatusd::start(&["remote1", "other"]);
            central.configure("remote1", &configuration);
            let victim = framed(1, "shadow_hosts.update({\n'victim': {},\n})");
            central.configure("other", victim.replace("remote1", "other").as_bytes());
            wait_until("the configurations are in force", || {
                rows(&central.merged(), "hosts", &["name"], &[]).len() == 2
            });
            let dump = states_with(number + 1, lines);
            let ingest = central.ingest("remote1");
            let answer = if way == "unixcat" {
                let answer = talk(&ingest, dump.as_bytes()).expect("it answers");
                String::from_utf8_lossy(&answer).into_owned()
            } else {
                let load = cmcload(&ingest, &["--socket"]).input(dump).run();
                let is_unknown = lines.contains("victim;1;1");
                let code = if is_unknown { 0 } else { 3 };
                let ended = load.code();
                assert!(
                    ended == Some(code) || ended == Some(1) && code == 3,
                    "{lines}: {load:?}"
                );
                load.text() + &load.errors()
            };
            let counted = ["refused 1", "unknown 1", "incomplete: ", "refused: "];
            let is_told = counted.iter().any(|word| answer.contains(word));
            assert!(is_told, "{way}: {lines}: {answer}");
            let all = ["hosts", "services"].map(|table| {
                let columns = ["plugin_output", "acknowledged"];
                format!("{:?}", rows(&central.merged(), table, &columns, &[]))
            });
            assert!(!all.concat().contains("evil"), "{way}: {lines}: {all:?}");
            assert!(
                !all.concat().contains("Number(1)"),
                "{way}: {lines}: {all:?}"
            );
            assert_eq!(
                central
                    .process
                    .log()
                    .iter()
                    .filter(|line| line.contains("bye"))
                    .count(),
                0
            );
        }
    }
}

/// The most memory that a process has ever had resident, in MiB.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("Linux tells it")
        .trim()
        .parse::<u64>()
        .expect("a number")
        / 1024
}

#[test]
fn a_line_of_a_gigabyte_fills_no_memory() {
    let site = Site::new("centre");
    let central = Livestatusd::start(&["remote1"]);
    fs::create_dir(site.path("tmp/spool")).expect("cannot make a directory");
    let at = site.directory().display().to_string();
    let ingest = central.ingest("remote1").display().to_string();
    let state =
        "# sitewire 1 state site=remote1 seq=1 epoch=0 mode=full time=1795000000\\nhost_name=";
    let config = "# sitewire 1 config site=remote1 seq=1 epoch=0 mode=full time=1795000000\\n";
    let objects = format!("{config}define host {{\\n  host_name ");
    let shadow = format!("{config}shadow_hosts.update({{\\n\\x27");
    let command = "COMMAND [1] SITEWIRE_BEGIN;1;remote1;state;1;;0;full;;1795000000\\n\\n\
                   COMMAND [1] UPDATE_SHADOW_HOST_STATE;";
    let liveload = format!("liveload --site remote1 --ledger {at}/var/ledger");
    for (begin, importer) in [
        (state, format!("{liveload} --target {at}/tmp/spool")),
        (&objects, format!("{liveload} --config-dir {at}/etc")),
        (
            &shadow,
            format!("{liveload} --backend livestatusd --config-dir {at}/etc"),
        ),
        (
            command,
            format!("{liveload} --backend livestatusd --target {ingest}"),
        ),
        (command, format!("cmcload --site remote1 --socket {ingest}")),
        (
            &shadow,
            format!("cmcload --site remote1 --directory {at}/etc"),
        ),
        (command, format!("unixcat {ingest}")),
    ] {
        // Through a signature's spool it would be on disk.
        let outcome = Program::bash(&format!(
            "(printf '{begin}'; head -c 1G /dev/zero | tr '\\0' x) | (ulimit -v 400000; {importer})\n\
             exit ${{PIPESTATUS[1]}}"
        ))
        .run();
        let said = outcome.text() + &outcome.errors();
        if !importer.starts_with("unixcat") {
            let code = outcome.code();
            assert!(
                code == Some(1) || code == Some(3),
                "{importer}: {outcome:?}"
            );
        }
        let is_told = ["long", "large", "more than", "limit", "bytes", "refused 1"];
        assert!(
            is_told.iter().any(|word| said.contains(word)),
            "{importer}: {said}"
        );
    }
    assert!(
        fs::read_dir(site.path("etc"))
            .expect("it is there")
            .next()
            .is_none()
    );
    assert!(peak_memory(central.process.pid()) < 100);

    // In the place where livestatusd looks by itself.
    let file = central.site.path("etc/shadow/remote1/large.mk");
    let large = fs::File::create(&file).expect("cannot make a file");
    large.set_len(1 << 30).expect("it is sparse");
    central.process.hang_up();
    wait_until("it is refused", || {
        let error = rows(&central.merged(), "sites", &["config_error"], &[]);
        error[0][0]
            .as_str()
            .is_some_and(|error| error.contains("large.mk"))
    });
    let peak = peak_memory(central.process.pid());
    assert!(peak < 300, "{peak} MiB");
}
