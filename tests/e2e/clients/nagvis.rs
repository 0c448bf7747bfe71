//! NagVis, which paints states on maps.

use std::path::Path;

use harness::{Livestatusd, peer, wait_until};
use serde_json::{Value, json};

use super::{client, driver, report, site};

/// Starts the site and has the backend class answer `what` there.
#[track_caller]
fn backend(what: &str) -> Option<Value> {
    if !peer::available("php", "php-cli") {
        return None;
    }
    let core = peer::unpacked("nagvis", "usr/share/nagvis/share/server/core")?;
    let central = site::start();
    Some(ask(&core, &central, what))
}

#[track_caller]
fn ask(core: &Path, central: &Livestatusd, what: &str) -> Value {
    let php = client("php", "php").arg(driver("nagvis.php")).arg(core);
    report(php.arg(central.live("remote1")).arg(what))
}

/// What PHP calls a list, as JSON: the values by number.
fn list<T: Into<Value>>(values: impl IntoIterator<Item = T>) -> Value {
    let values = values.into_iter().enumerate();
    values
        .map(|(number, value)| (number.to_string(), value.into()))
        .collect()
}

/// Everything that `want` has is in `got`, which may have more.
#[track_caller]
fn assert_has(got: &Value, want: &Value) {
    for (key, value) in want.as_object().expect("what must be there has names") {
        assert_eq!(&got[key], value, "{key} of {got}");
    }
}

fn host(host: &site::Host) -> Value {
    match host.state {
        None => json!({"state": 14, "output": "hostIsPending", "alias": null}),
        Some(state) => json!({
            // NagVis counts hosts from 10.
            "state": state + 10,
            "output": host.output,
            "alias": host.alias,
            "address": host.address,
            "display_name": host.name,
            "notes": "Raum 7, \"Ost\"",
            "check_command": "check-mk-host-ping",
            "custom_vars": {"LAT": "48.1", "LONG": "11.5"},
            "perfdata": "rta=0.4ms",
            "acknowledged": false,
            "in_downtime": false,
            "max_check_attempts": 3,
        }),
    }
}

fn service(service: &site::Service) -> Value {
    match service.state {
        None => {
            json!({"description": service.description, "state": 4, "output": "serviceNotChecked"})
        }
        Some(state) => {
            let host = site::host(service.host);
            json!({
                "description": service.description,
                "state": state,
                "output": service.output,
                "perfdata": service.perf_data,
                "acknowledged": service.acknowledged,
                "in_downtime": false,
                "alias": host.alias,
                "address": host.address,
                "check_command": "check_mk-x",
                "max_check_attempts": 1,
                "custom_vars": null,
            })
        }
    }
}

/// What NagVis counts of `services`, by its numbers for states.
fn counts<'s>(services: impl Iterator<Item = &'s site::Service>) -> Value {
    let mut normal = [0; 5];
    let mut acknowledged = [0; 5];
    for service in services {
        let state = usize::from(service.state.unwrap_or(4));
        let kind = if service.acknowledged {
            &mut acknowledged
        } else {
            &mut normal
        };
        kind[state] += 1;
    }
    let problem = |state: usize| json!({"normal": normal[state], "ack": acknowledged[state], "stale": 0, "downtime": 0});
    json!({
        "0": {"normal": normal[0], "stale": 0, "downtime": 0},
        "1": problem(1),
        "2": problem(2),
        "3": problem(3),
        "4": {"normal": normal[4]},
    })
}

/// The same of hosts.
fn host_counts(group: Option<&str>) -> Value {
    let hosts = || {
        site::HOSTS
            .iter()
            .filter(|host| group.is_none_or(|group| host.group == group))
    };
    let count = |state| hosts().filter(|host| host.state == state).count();
    json!({
        "10": {"normal": count(Some(0)), "stale": 0, "downtime": 0},
        "11": {"normal": count(Some(1)), "ack": 0, "stale": 0, "downtime": 0},
        "12": {"normal": count(Some(2)), "ack": 0, "stale": 0, "downtime": 0},
        "14": {"normal": count(None)},
    })
}

fn names(name1: &str, name2: &str) -> Value {
    json!({"name1": name1, "name2": name2})
}

#[test]
fn nagvis_shows_hosts_and_services() {
    let Some(report) = backend("hosts_and_services") else {
        return;
    };
    states_of_hosts(&report);
    states_of_services(&report);
    numbers(&report);
    maps(&report);
    for (error, part) in [
        ("no_such_table", "no such table 'nosuch'"),
        ("no_such_column", "no column 'nosuch'"),
    ] {
        let text = report[error].as_str().unwrap_or_default();
        assert!(text.contains(part), "{error}: {text}");
    }
    assert_eq!(report["after_error"], list(["router"]));
}

fn states_of_hosts(report: &Value) {
    for kind in ["hosts", "hosts_hard"] {
        for truth in site::HOSTS {
            assert_has(&report[kind][truth.name], &host(truth));
        }
    }
    let staleness = report["hosts"]["db1"]["staleness"].as_f64();
    assert!(staleness.is_some_and(|staleness| (0.0..1.0).contains(&staleness)));
    assert_eq!(
        report["problems"],
        list(["router", "db1", "db1", "db1", "kühlhaus-süd"])
    );
}

fn states_of_services(report: &Value) {
    for truth in site::SERVICES {
        let of_host = report["services_of_hosts"][truth.host].as_object().unwrap();
        let found = of_host
            .values()
            .find(|s| s["description"] == truth.description);
        assert_has(found.expect(truth.description), &service(truth));
    }
    let emoji = &site::SERVICES[2];
    let key = format!("{}~~{}", emoji.host, emoji.description);
    for kind in ["service", "service_hard"] {
        assert_has(&report[kind][&key], &service(emoji));
        assert_eq!(report[kind].as_object().map(serde_json::Map::len), Some(1));
    }
}

fn numbers(report: &Value) {
    for name in ["db1", "kühlhaus-süd", "neu"] {
        let want = json!({"counts": counts(site::SERVICES.iter().filter(|s| s.host == name))});
        assert_eq!(report["member_counts"][name], want, "{name}");
        assert_eq!(report["member_counts_hard"][name], want, "{name}");
    }
    let of_db1 = site::SERVICES.iter().filter(|s| s.host == "db1");
    assert_eq!(report["list_counts"], counts(of_db1));
    assert_has(&report["all_counts"], &counts(site::SERVICES.iter()));
    assert_has(&report["all_counts"], &host_counts(None));
}

fn maps(report: &Value) {
    let hosts = || site::sorted_hosts();
    assert_eq!(
        report["objects"],
        list(hosts().map(|h| names(h.name, h.alias)))
    );
    let services = site::SERVICES.iter().filter(|s| s.host == "db1");
    assert_eq!(
        report["services"],
        list(services.map(|s| names(s.host, s.description)))
    );
    assert_eq!(report["no_parent"], list(["router"]));
    assert_eq!(report["children"], list(["db1", "kühlhaus-süd", "neu"]));
    assert_eq!(report["parents"], list(["router"]));
    assert!(report["program_start"].as_i64() > Some(0));
    assert_eq!(report["geomap"], list(hosts().map(on_globe)));
}

fn on_globe(host: &site::Host) -> Value {
    json!({"name": host.name, "alias": host.alias, "lat": "48.1", "long": "11.5", "backend_id": "live"})
}

#[test]
fn nagvis_shows_groups() {
    let Some(report) = backend("groups") else {
        return;
    };
    assert_eq!(
        report["hostgroups"],
        list([names("linux", "linux"), names("räume", "räume")])
    );
    assert_eq!(
        report["servicegroups"],
        list([names("alle dienste", "alle dienste")])
    );
    assert_eq!(report["members"], list(["kühlhaus-süd"]));
    let group = |group: &'static str| site::HOSTS.iter().filter(move |host| host.group == group);
    for truth in group("linux") {
        assert_has(&report["hostgroup_hosts"][truth.name], &host(truth));
    }
    assert_eq!(
        report["hostgroup_hosts"]
            .as_object()
            .map(serde_json::Map::len),
        Some(3)
    );
    for kind in ["hostgroup_counts", "hostgroup_counts_hard"] {
        for name in ["linux", "räume"] {
            let got = &report[kind][name];
            let members = |s: &&site::Service| site::host(s.host).group == name;
            assert_eq!(got["details"]["14"], name);
            assert_has(&got["counts"], &host_counts(Some(name)));
            assert_has(
                &got["counts"],
                &counts(site::SERVICES.iter().filter(members)),
            );
        }
    }
    let got = &report["servicegroup_counts"]["alle dienste"];
    assert_eq!(got["details"]["14"], "alle dienste");
    assert_eq!(got["counts"], counts(site::SERVICES.iter()));
    assert_eq!(report["geomap"], list(group("räume").map(on_globe)));
}

#[test]
fn nagvis_shows_contacts_what_is_theirs_and_acknowledges() {
    if !peer::available("php", "php-cli") {
        return;
    }
    let Some(core) = peer::unpacked("nagvis", "usr/share/nagvis/share/server/core") else {
        return;
    };
    let central = site::start();
    let people = "contacts.update({'müller': {'alias': 'Müller', 'contactgroups': ['admins']}, 'fremd': {}})\n";
    central.site.write("etc/shadow/remote1/people.mk", people);
    central.process.hang_up();
    wait_until("the contacts are there", || {
        ask(&core, &central, "contacts") == json!({"müller": {"0": "admins"}})
    });
    let seen = ask(&core, &central, "permitted");
    let permitted = site::sorted_hosts()
        .filter(|host| host.name != "neu")
        .map(|host| host.name);
    assert_eq!(seen, json!({"müller": list(permitted), "fremd": {}}));

    site::own_result(&central, "Temperatur");
    ask(&core, &central, "acknowledge");
    wait_until("the acknowledgement is seen", || {
        ask(&core, &central, "temperature")["acknowledged"] == json!(true)
    });
    site::own_downtime(&central, "Temperatur");
    wait_until("the downtime is seen", || {
        ask(&core, &central, "temperature")["in_downtime"] == json!(true)
    });
    assert_has(
        &ask(&core, &central, "temperature"),
        &json!({
            "acknowledged": true,
            "in_downtime": true,
            "downtime_author": "müller",
            "downtime_comment": "Umbau; \"Ost\" 🚧",
        }),
    );
}
