//! python-mk-livestatus of PyPI. It ends its requests without a blank line, by
//! closing its sending side.

use std::collections::BTreeMap;

use harness::peer;
use serde_json::{Value, json};

use super::{client, driver, report, site};

#[test]
fn python_mk_livestatus_over_unix_and_tcp() {
    let Some(python) = peer::unpacked("python", "bin/python") else {
        return;
    };
    let central = site::start_with(site::TCP);
    let [port] = central.ports();
    let python = client(python, "python")
        .arg(driver("python_mk_livestatus.py"))
        .arg(central.merged())
        .arg(port.to_string());
    let report = report(python);
    answers(&report["unix"]);
    answers(&report["tcp"]);
}

fn answers(report: &Value) {
    let services = report["services"].as_array().expect("rows");
    let long = site::long_plugin_output();
    let found: BTreeMap<_, _> = services
        .iter()
        .map(|row| {
            let [host, description] =
                ["host_name", "description"].map(|c| row[c].as_str().unwrap());
            if row["plugin_output"] != "" {
                assert!(row["long_plugin_output"] == json!(long), "{description}");
            }
            let result = (row["state"].clone(), row["plugin_output"].clone());
            (format!("{host}/{description}"), result)
        })
        .collect();
    assert_eq!(found, site::states(|_| true));
    let critical = json!([{"host_name": "kühlhaus-süd", "description": "Temperatur"}]);
    assert_eq!(report["critical"], critical);
    let host = json!([{"name": "kühlhaus-süd", "alias": "Kühlhaus 🧊 Süd", "parents": ["router"]}]);
    assert_eq!(report["by_name"], host);
    let row = &report["all_columns"][0];
    assert_eq!((&row["name"], &row["state"]), (&json!("router"), &json!(1)));
    assert_eq!(row["plugin_output"], site::host("router").output);
    assert_eq!(report["nothing"], json!([]));
    assert_eq!(
        report["status"][0]["num_services"],
        json!(site::SERVICES.len())
    );
    assert_eq!(report["no_such_table"], json!([]));
}
