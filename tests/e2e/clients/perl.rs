//! Perl's Monitoring::Livestatus, which Thruk and many plugins use.

use std::collections::BTreeMap;

use harness::peer;
use serde_json::{Value, json};

use super::{client, driver, report, site};

#[test]
fn monitoring_livestatus_over_one_connection() {
    monitoring_livestatus("1");
}

#[test]
fn monitoring_livestatus_with_a_connection_for_each_query() {
    monitoring_livestatus("0");
}

fn monitoring_livestatus(keepalive: &str) {
    let module = ["perl", "-MMonitoring::Livestatus", "-e", "1"];
    if !peer::works(&module, "libmonitoring-livestatus-perl") {
        return;
    }
    let central = site::start();
    let perl = client("perl", "perl")
        .arg(driver("monitoring_livestatus.pl"))
        .arg(central.merged())
        .arg(keepalive);
    let report = report(perl);
    every_form_of_result(&report);
    stats_have_names(&report);
    what_thruk_adds(&report);
    errors_arrive(&report);
    commands_take_effect(&report);
}

fn by_name<'r>(rows: &'r Value, key: impl Fn(&'r Value) -> String) -> BTreeMap<String, &'r Value> {
    let rows = rows.as_array().expect("a list");
    rows.iter().map(|row| (key(row), row)).collect()
}

/// `text` as the module hands it on. It takes each half of a surrogate pair for
/// broken and replaces it, so what lies above U+FFFF becomes two signs; no
/// server can help that in answers that are ASCII only.
fn seen(text: &str) -> String {
    let two = |c: char| {
        if c > '\u{ffff}' {
            "\u{fffd}\u{fffd}".to_owned()
        } else {
            c.into()
        }
    };
    text.chars().map(two).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("no text")
}

fn every_form_of_result(report: &Value) {
    let truth = site::states(|_| true);
    let rows = by_name(&report["rows"], |row| {
        format!("{}/{}", text(&row[0]), text(&row[1]))
    });
    let hashes = by_name(&report["hashes"], |row| {
        format!("{}/{}", text(&row["host_name"]), text(&row["description"]))
    });
    assert_eq!((rows.len(), hashes.len()), (truth.len(), truth.len()));
    for (name, (state, output)) in &truth {
        let (name, output) = (&seen(name), &json!(seen(text(output))));
        assert_eq!((&rows[name][2], &rows[name][3]), (state, output), "{name}");
        let row = hashes[name];
        assert_eq!(
            (&row["state"], &row["plugin_output"]),
            (state, output),
            "{name}"
        );
    }
    for host in site::HOSTS {
        let state = host.state.unwrap_or(0);
        let want = json!({"name": host.name, "title": seen(host.alias), "state": state, "address": host.address});
        assert_eq!(report["by_key"][host.name], want);
        assert_eq!(report["pairs"][host.name], json!(state));
        assert!(
            report["column"]
                .as_array()
                .unwrap()
                .contains(&json!(host.name))
        );
    }
    let columns = report["without_columns"].as_object();
    assert!(columns.is_some_and(|columns| columns.len() > 50));
    assert_eq!(report["row"], json!([0, "/=40%;80;90;0;100"]));
    let long = text(&report["row_hash"]["long_plugin_output"]);
    assert!(long == site::long_plugin_output(), "{} bytes", long.len());
    assert_eq!(report["renamed"], json!({"rechner": "kühlhaus-süd"}));
    assert_eq!(report["nothing"], json!([]));
    // The module asks for the first three and leaves it to us to skip one.
    assert_eq!(report["limited"].as_array().map(Vec::len), Some(3));
    assert_eq!(report["without_columns"]["name"], "router");
    assert_eq!(report["without_columns"]["state"], 1);
    assert_eq!(report["peer"]["peer_name"], "zentrale");
    assert_eq!(report["peer"]["name"], "db1");
}

fn stats_have_names(report: &Value) {
    let [ok, warning, critical, unknown] = [0, 1, 2, 3].map(site::count);
    let want = json!({"0": ok, "1": warning, "2": critical, "3": unknown, "pending": 1});
    assert_eq!(report["stats"], want);
    assert_eq!(report["or"], json!(warning + critical));
    assert_eq!(report["scalar"], json!(critical));
    let groups = by_name(&report["group_by"], |row| text(&row["host"]).to_owned());
    assert_eq!(groups["db1"]["problems"], 3);
    assert_eq!(groups["db1"]["worst"], 3);
    assert_eq!(groups["kühlhaus-süd"]["problems"], 1);
    assert_eq!(groups["neu"]["problems"], 0);
    assert_eq!(groups.len(), 3);
    let groups = by_name(&report["columns_and_stats"], |row| text(&row[0]).to_owned());
    let critical = ["db1", "kühlhaus-süd", "neu"].map(|host| &groups[host][1]);
    assert_eq!(critical, [&json!(1), &json!(1), &json!(0)]);
}

fn what_thruk_adds(report: &Value) {
    let mut sorted: Vec<_> = site::SERVICES.iter().collect();
    sorted.sort_by_key(|s| (std::cmp::Reverse(s.state.unwrap_or(0)), s.description));
    let sorted: Vec<_> = sorted
        .iter()
        .map(|s| json!([seen(s.description), s.state.unwrap_or(0)]))
        .collect();
    assert_eq!(report["sorted"], json!(sorted));
    assert_eq!(report["offset"], json!([["kühlhaus-süd"], ["neu"]]));
    assert_eq!(report["wrapped"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["total"], json!(site::HOSTS.len()));
}

fn errors_arrive(report: &Value) {
    let errors = report["errors"].as_array().unwrap();
    for (error, (code, part)) in errors.iter().zip([
        (404, "nosuch"),
        (400, "nosuch"),
        (400, "??"),
        (400, "NoSuch"),
        (400, "And"),
    ]) {
        assert_eq!(error[1], code, "{error}");
        assert!(text(&error[2]).contains(part), "{error}");
    }
    assert_eq!(errors.len(), 5);
    assert_eq!(
        report["after_error"], 5,
        "one host is down, asked after each"
    );
    assert!(
        text(&report["died"]).contains("nosuch"),
        "{}",
        report["died"]
    );
}

fn commands_take_effect(report: &Value) {
    assert_eq!(report["done"], json!(["done", "done"]));
    let want = json!({
        "host_state": 0,
        "host_plugin_output": "UP - endlich da",
        "has_been_checked": 1,
        "state": 1,
        "plugin_output": seen("WARN - \"träge\"; 300 ms 🐌"),
        "long_plugin_output": "zweite Zeile",
        "perf_data": "rta=300ms",
    });
    assert_eq!(report["read_back"], want);
    for (refused, part) in [(0, "no such service"), (1, "NO_SUCH_COMMAND")] {
        let refused = &report["refused"][refused];
        assert_eq!(refused[0], 400, "{refused}");
        assert!(text(&refused[1]).contains(part), "{refused}");
    }
    assert_eq!(report["after_refusal"], 1);
}
