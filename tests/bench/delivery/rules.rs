//! What it costs to find out who is told: a hundred rules, and as many
//! notifications as a large storm has.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use harness::program::built;

use crate::measure::{Cost, run};
use crate::report::{Better, OURS, Report, Row};

const NOTIFICATIONS: usize = 100_000;
const RULES: usize = 100;
const RUNS: usize = 3;

pub(crate) fn measure(report: &mut Report) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let rules = directory.path().join("rules.toml");
    std::fs::write(&rules, rules_text()).expect("the rules are written");
    let storm = directory.path().join("storm.json");
    write_storm(&storm);
    let (rules, storm) = (rules.display().to_string(), storm.display().to_string());
    let notifyctl = built("notifyctl");
    let args = [
        "rules",
        "test",
        "--each",
        "--rules",
        &rules,
        "--context",
        &storm,
    ];
    add(
        report,
        OURS,
        median(|| run(&notifyctl, &args, None)),
        "notifyctl rules test --each",
    );
    let python =
        "import json,sys\nfor line in open(sys.argv[1]): json.loads(line)['context']['HOSTNAME']";
    let cost = median(|| run(Path::new("python3"), &["-c", python, &storm], None));
    add(
        report,
        "python3",
        cost,
        "only reads the same notifications, follows no rule",
    );
}

fn add(report: &mut Report, program: &str, cost: Cost, note: &str) {
    let work = format!("{RULES} rules, {NOTIFICATIONS} notifications");
    for (figure, unit) in [(cost.cpu, "s CPU"), (cost.memory, "MiB")] {
        report.add(Row {
            work: work.clone(),
            program: program.to_owned(),
            version: String::new(),
            figure: Some(figure),
            unit,
            better: Better::Lower,
            note: format!("median of {RUNS}, {note}"),
        });
    }
}

fn median(mut measure: impl FnMut() -> Cost) -> Cost {
    let mut all: Vec<Cost> = (0..RUNS).map(|_| measure()).collect();
    all.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    all[RUNS / 2]
}

/// Rules of every kind; each of them has to be looked at.
fn rules_text() -> String {
    let mut text = "match = \"all\"\n[[period]]\nname = \"work\"\nzone = \"Europe/Berlin\"\nmonday = \"08:00-17:00\"\n"
        .to_owned();
    for n in 0..20 {
        let _ = writeln!(
            text,
            "[[contact]]\nname = \"c{n}\"\ngroups = [\"g{}\"]",
            n % 5
        );
    }
    for n in 0..RULES {
        let condition = match n % 5 {
            0 => format!(
                "host = [\"db{n}*\", \"~^web{n}-[0-9]+$\"]\nstate = [\"critical\", \"down\"]"
            ),
            1 => format!("host_group = \"group{n}\"\ntype = [\"problem\", \"recovery\"]"),
            2 => format!("service = \"*disk{n}*\"\nnot_site = \"test*\"\nperiod = \"work\""),
            3 => format!("output = \"~~volume {n} .*full\"\nnumber = \"1-3\""),
            _ => format!("host_label = {{ tier = \"production\", team = \"t{n}\" }}"),
        };
        let _ = writeln!(
            text,
            "[[rule]]\nname = \"{n}\"\n{condition}\ncontact_groups = \"g{}\"\nlanes = \"lane{}\"",
            n % 5,
            n % 3
        );
    }
    text
}

fn write_storm(path: &Path) {
    let file = std::fs::File::create(path).expect("a file");
    let mut out = std::io::BufWriter::new(file);
    for n in 0..NOTIFICATIONS {
        let (host, service) = (n % 997, n % 41);
        writeln!(
            out,
            "{{\"v\":1,\"id\":\"0199d3a8-0000-7000-8000-{n:012x}\",\"kind\":\"raw\",\"created_us\":1795217983000000,\
             \"site\":\"customer{}\",\"path\":[],\"context\":{{\"NOTIFICATIONTYPE\":\"PROBLEM\",\"HOSTNAME\":\"db{host}\",\
             \"HOSTADDRESS\":\"10.0.0.{}\",\"HOSTGROUPNAMES\":\"linux,group{}\",\"SERVICEDESC\":\"disk{service} /var\",\
             \"SERVICESTATE\":\"CRITICAL\",\"LASTSERVICESTATE\":\"OK\",\"SERVICEATTEMPT\":\"1\",\"SERVICENOTIFICATIONNUMBER\":\"{}\",\
             \"SERVICEOUTPUT\":\"volume {service} is 97 % full\",\"SERVICEPERFDATA\":\"used=97%;80;90\",\
             \"HOSTLABEL_tier\":\"production\",\"HOSTLABEL_team\":\"t{}\",\"CONTACTS\":\"c1,c2\",\"OMD_SITE\":\"customer{}\"}}}}",
            n % 80, n % 250, n % 100, 1 + n % 5, n % 100, n % 80
        )
        .expect("written");
    }
    out.flush().expect("written");
}
