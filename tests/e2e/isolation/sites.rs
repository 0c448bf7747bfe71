//! Two sites with the same names, what there is of one of them, and the dumps
//! that a site sends.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use harness::livestatus::{command, rows, talk};
use harness::{Livestatusd, wait_until};
use serde_json::Value;

/// Hosts of every site of these stories: the first is delivered by dumps, the
/// second by passive results, so that it can be commented where it is shown.
pub(super) const HOSTS: [&str; 2] = ["localhost", "passive"];
pub(super) const SERVICES: [&str; 3] = ["CPU load", "Disk /", "Ping"];

pub(super) const TIME: u64 = 1_795_217_983;

/// CRC-32C, bit by bit: the test has no code of ours.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// A shadow configuration with these hosts, each with all services.
pub(super) fn configuration(site: &str, hosts: &[&str]) -> Vec<u8> {
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
pub(super) fn line(text: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("COMMAND [{TIME}] ");
    [head.as_bytes(), text.as_ref(), b"\n\n"].concat()
}

/// What follows the names in a record: checked, in this state, with this output.
fn fields(state: u8, output: &str) -> String {
    format!("1;{state};1;1;{TIME};{TIME};{TIME};0.1;0.1;0;0;0;0;0;0;{output};;")
}

pub(super) fn host_record(host: impl AsRef<[u8]>, state: u8, output: &str) -> Vec<u8> {
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

pub(super) fn service_record(
    host: impl AsRef<[u8]>,
    service: &str,
    state: u8,
    output: &str,
) -> Vec<u8> {
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
pub(super) fn begin(site: &str, epoch: u64, sequence: u64) -> Vec<u8> {
    line(format!(
        "SITEWIRE_BEGIN;1;{site};state;{sequence};;{epoch};full;;{TIME}"
    ))
}

/// A frame that fits around `records`.
pub(super) fn framed(site: &str, epoch: u64, sequence: u64, records: &[Vec<u8>]) -> Vec<u8> {
    let body = records.concat();
    let end = format!(
        "SITEWIRE_END;{sequence};{};{:08x}",
        records.len(),
        crc32c(&body)
    );
    [begin(site, epoch, sequence), body, line(end)].concat()
}

/// The host that comes by dumps, and its services.
pub(super) fn states(state: u8, output: &str) -> Vec<Vec<u8>> {
    let host = host_record(HOSTS[0], 0, output);
    let services = SERVICES.map(|name| service_record(HOSTS[0], name, state, output));
    [vec![host], services.to_vec()].concat()
}

/// A whole dump as the site itself would send it.
pub(super) fn dump(site: &str, epoch: u64, sequence: u64, state: u8, output: &str) -> Vec<u8> {
    framed(site, epoch, sequence, &states(state, output))
}

pub(super) fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

/// Nobody who has not seen it can say it.
pub(super) fn secret() -> String {
    let mut bytes = [0; 16];
    let mut source = std::fs::File::open("/dev/urandom").expect("the system has random numbers");
    source.read_exact(&mut bytes).expect("it does not end");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two sites with the same names, in which all of b's texts have `secret` in them.
pub(super) fn two_sites(secret: &str) -> Livestatusd {
    two_sites_with(secret, "")
}

/// The same, with more lines of configuration.
pub(super) fn two_sites_with(secret: &str, settings: &str) -> Livestatusd {
    let central = Livestatusd::start_with(&["a", "b"], settings);
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
pub(super) fn all_of_b(central: &Livestatusd) -> Vec<(&'static str, Vec<Value>)> {
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
pub(super) fn lasting(central: &Livestatusd) -> Vec<Vec<Value>> {
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
pub(super) fn assert_untouched(
    before: &[(&'static str, Vec<Value>)],
    central: &Livestatusd,
    when: &str,
) {
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
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
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
