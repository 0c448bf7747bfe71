//! What Checkmk's notification spooler left behind reaches the central site once,
//! its configuration becomes ours, a notification plugin in its slot submits, and the
//! ready lanes hand over to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::program::{built, repository, target_directory};
use harness::{Program, Site, peer};
use serde_json::Value;

use crate::notify_centre::Centre;
use crate::notify_line::example;
use crate::notify_sites::{Sites, make_executable, notifyctl};

const FILES: usize = 200;
const KILLS: usize = 8;

/// A spool file as Checkmk writes it, for number `n`.
fn spool_file(n: usize) -> String {
    let rest = ["'forward': True", "'plugin': 'mail'"][n % 2];
    format!(
        "{{'context': {{'HOSTNAME': 'host{}',\n             'LONGSERVICEOUTPUT': '{}'\n                                  '{}',\n             \
         'MICROTIME': '{}',\n             'NOTIFICATIONTYPE': 'PROBLEM',\n             'OMD_SITE': 'remote1',\n             \
         'SERVICEDESC': 'Größe \"{n}\"'}},\n {rest}}}\n",
        n % 7,
        "x".repeat(40),
        "y".repeat(2000),
        1_795_217_983_000_000 + n
    )
}

fn id(n: usize) -> String {
    // Not in the order of the numbers, as those of Checkmk are not.
    format!(
        "{:08x}-52d4-4f0b-9c66-1d0e5b7a9f21",
        (n as u32).wrapping_mul(2_654_435_761)
    )
}

#[test]
fn a_full_spool_reaches_the_central_site_once_however_often_its_import_is_killed() {
    let sites = Sites::new();
    let _central = sites.start_central();
    let remote = sites.start_remote();
    let checkmk = sites.remote.path("notify");
    for n in 0..FILES {
        let part = ["spool", "deferred"][n / 3 % 2];
        sites
            .remote
            .write(format!("notify/{part}/{}", id(n)), spool_file(n));
    }
    sites
        .remote
        .write("notify/corrupted/half", &spool_file(0)[..200]);
    // Killed after some lines of what it tells; some of them while notifyd is gone.
    let mut remote = Some(remote);
    for kill in 0..KILLS {
        if kill == KILLS / 2 {
            remote.take().expect("it runs").kill();
        }
        import_and_kill(&sites.remote, &checkmk, kill * FILES / KILLS);
    }
    let _remote = sites.start_remote();
    let last = import(&sites.remote, &checkmk, &["--remove"])
        .run()
        .expect(3);
    assert!(
        last.errors().contains("set aside 1, left out 0, failed 0"),
        "{}",
        last.errors()
    );
    sites.wait_until_empty(&sites.remote);
    sites.wait_until_empty(&sites.central);
    let delivered = sites.delivered();
    assert_eq!(delivered.len(), FILES, "each once");
    let delivered: BTreeSet<String> = delivered.into_iter().map(|(id, _)| id).collect();
    assert_eq!(delivered, (0..FILES).map(id).collect());
    for part in ["spool", "deferred", "corrupted"] {
        assert_eq!(
            fs::read_dir(checkmk.join(part))
                .expect("a directory")
                .count(),
            0
        );
    }
    let trace = sites.trace(&sites.central, &id(5));
    assert_eq!(trace[0], "accepted from remote1 (path remote1 -> central)");
    // And much later nothing comes again.
    for n in [5, 6] {
        sites
            .remote
            .write(format!("notify/spool/{}", id(n)), spool_file(n));
    }
    let again = import(&sites.remote, &checkmk, &[]).run().success();
    assert!(
        again.errors().contains("stored 0, known 2"),
        "{}",
        again.errors()
    );

    // Back again, from the central site's journal: none of them names a plugin there.
    let target = sites.central.path("back");
    fs::create_dir(&target).expect("own directory");
    let to = target.to_str().expect("text");
    notifyctl(&sites.central, &["export", "--directory", to, &id(5)]).expect("exported");
    let text = fs::read_to_string(target.join(id(5))).expect("a spool file");
    assert!(
        !text.contains("plugin") && !text.contains("SITEWIRE"),
        "{text}"
    );
    python_reads(&target.join(id(5)));
}

fn import(site: &Site, checkmk: &Path, more: &[&str]) -> Program {
    Program::new("notifyctl")
        .arg("-c")
        .arg(site.path("etc/notifyd.toml"))
        .arg("import")
        .arg(checkmk)
        .args(more)
}

/// Kills an import when it has told of `lines` files. It does so in blocks, when
/// it has stored them.
fn import_and_kill(site: &Site, checkmk: &Path, lines: usize) {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(built("notifyctl"))
        .arg("-c")
        .arg(site.path("etc/notifyd.toml"))
        .arg("import")
        .arg(checkmk)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("notifyctl starts");
    let told = BufReader::new(child.stdout.take().expect("piped"));
    let _ = told.lines().take(lines).count();
    let _ = child.kill();
    let _ = child.wait();
}

/// What we write is what Python's own printer makes of it.
fn python_reads(path: &Path) {
    let script = "import ast, pprint, sys\n\
                  text = open(sys.argv[1], encoding='utf-8').read()\n\
                  assert text == pprint.pformat(ast.literal_eval(text)) + '\\n', text\n";
    if peer::available("python3", "python3") {
        Program::foreign("python3", "python3")
            .args(["-c", script])
            .arg(path)
            .run()
            .success();
    }
}

#[test]
fn what_is_held_goes_back_to_checkmk_while_notifyd_runs_and_reaches_nobody_else() {
    if !peer::available("python3", "python3") {
        return;
    }
    let sites = Sites::new();
    let _remote = sites.start_remote();
    for n in 0..10 {
        let name = format!("notify/spool/{}", id(n));
        sites.remote.write(name, spool_file(n));
    }
    let checkmk = sites.remote.path("notify");
    import(&sites.remote, &checkmk, &["--remove"])
        .run()
        .success();
    let ctl = |args: &[&str]| notifyctl(&sites.remote, args).expect("notifyctl ends with 0");
    ctl(&["hold", "--all"]);
    // Now somebody would take them.
    let _central = sites.start_central();
    let spool = checkmk.join("spool");
    ctl(&[
        "export",
        "--all",
        "--directory",
        spool.to_str().expect("text"),
    ]);
    ctl(&["drop", "--all", "--why", "back to Checkmk"]);
    for n in 0..10 {
        let text = fs::read_to_string(spool.join(id(n))).expect("a spool file");
        assert_eq!(text, pretty(&spool_file(n)), "{n}");
    }
    sites.wait_until_empty(&sites.remote);
    assert!(sites.delivered().is_empty());
    let trace = sites.trace(&sites.remote, &id(3)).join("\n");
    assert!(trace.contains("dropped"), "{trace}");
}

/// A spool file as Python lays it out.
fn pretty(text: &str) -> String {
    let script = "import ast, pprint, sys\nsys.stdout.reconfigure(encoding='utf-8')\n\
                  pprint.pprint(ast.literal_eval(sys.stdin.buffer.read().decode()))\n";
    let python = Program::foreign("python3", "python3").args(["-c", script]);
    python.input(text).run().success().text()
}

#[test]
fn the_configuration_that_is_made_of_checkmks_is_one_that_notifyd_takes() {
    let sites = Sites::new();
    let global = sites.remote.write(
        "global.mk",
        "# Written by Checkmk\n\nnotification_spooler_config = {'concurrency': [('mail', {'process_count': 2, \
         'retries': 3, 'timeout': 60})], 'deferred_cooldown': 180, 'deferred_force_retransmit': 1800, \
         'incoming': {'listen_port': 6555, 'heartbeat_interval': 10, 'encryption': 'encrypted'}, \
         'log_level': 20, 'outgoing': [{'address': 'central.example.com', 'port': 6555, 'cooldown': 20, \
         'encryption': 'upgradable', 'heartbeat_interval': 10, 'heartbeat_timeout': 3}]}\n",
    );
    let core = sites
        .remote
        .write("core.mk", "notification_spooling = 'both'\n");
    let text = Program::new("notifyctl")
        .args(["import-config", "--site", "remote1"])
        .args([&global, &core])
        .run()
        .success()
        .text();
    // The plugin and the certificates are elsewhere here.
    let script = sites.remote.write("mail", "#!/bin/sh\n");
    crate::notify_sites::make_executable(&script);
    let text = text
        .replace(
            "/etc/sitewire/certs",
            sites.central.path("certs").to_str().expect("text"),
        )
        .replace(
            "/omd/sites/remote1/local/share/check_mk/notifications/mail",
            script.to_str().expect("text"),
        );
    let text = format!(
        "{text}\n[spool]\ndirectory = '{}'\n",
        sites.remote.path("spool").display()
    );
    let file = sites.remote.write("etc/made.toml", &text);
    Program::new("notifyd")
        .arg("-c")
        .arg(file)
        .arg("--check-config")
        .run()
        .success();
    assert!(
        text.contains("connect = \"central.example.com:6555\"\nsend = true"),
        "{text}"
    );
    // Code is no setting.
    let evil = sites
        .remote
        .write("evil.mk", "import os\nos.system('touch /tmp/never')\n");
    let refused = Program::new("notifyctl")
        .arg("import-config")
        .arg(evil)
        .run()
        .expect(1);
    assert!(
        refused.errors().contains("evil.mk: 1:"),
        "{}",
        refused.errors()
    );
}

#[test]
fn the_plugin_in_checkmks_slot_ends_as_checkmk_expects_it() {
    let site = Site::new("branch7");
    let plugin = repository().join("packaging/checkmk/sitewire");
    let text = fs::read_to_string(&plugin).expect("the plugin");
    // Checkmk shows the second line as its name.
    assert!(
        text.lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("# Sitewire: "))
    );
    let path = format!("{}:/usr/bin:/bin", target_directory().display());
    let call = |variables: &[(&str, &str)]| {
        let mut program = Program::foreign("env", "sitewire")
            .arg("-i")
            .arg(format!("PATH={path}"))
            .arg("OMD_SITE=branch7")
            .arg(format!("OMD_ROOT={}", site.directory().display()));
        for (name, value) in variables {
            program = program.arg(format!("NOTIFY_{name}={value}"));
        }
        program.arg(&plugin).run()
    };
    let output = "CRIT $HOME \"double\" 'single' `id` größer\u{2758} 100% \\ end;";
    let variables = [
        ("NOTIFICATIONTYPE", "PROBLEM"),
        ("WHAT", "SERVICE"),
        ("HOSTNAME", "db1"),
        ("SERVICEDESC", "Disk /"),
        ("SERVICESTATE", "CRITICAL"),
        ("SERVICEOUTPUT", output),
        ("LONGSERVICEOUTPUT", "line 2\\nline 3"),
        ("CONTACTNAME", "jane"),
        ("CONTACTEMAIL", "jane@example.com,joe@example.com"),
        ("OMD_SITE", "branch7"),
        ("MICROTIME", "1795217983000000"),
        ("PARAMETER_1", ""),
        ("NOTIFICATIONCOMMENT", ""),
    ];
    // No spool yet: temporary, Checkmk tries again.
    let early = call(&variables).expect(1);
    assert!(
        early.errors().contains("notify: notification not accepted"),
        "{}",
        early.errors()
    );
    for part in ["tmp", "new"] {
        fs::create_dir_all(site.path("var/sitewire/spool").join(part)).expect("own directory");
    }
    call(&variables).expect(0);
    // Never: it says nothing of a host.
    call(&variables[..2]).expect(2);
    let elsewhere = site.path("elsewhere");
    for part in ["tmp", "new"] {
        fs::create_dir_all(elsewhere.join(part)).expect("own directory");
    }
    let mut other = variables.to_vec();
    other[11].1 = elsewhere.to_str().expect("text");
    call(&other).expect(0);
    for spool in [site.path("var/sitewire/spool"), elsewhere] {
        let files: Vec<_> = fs::read_dir(spool.join("new"))
            .expect("a directory")
            .flatten()
            .collect();
        assert_eq!(files.len(), 1);
        let body = fs::read_to_string(files[0].path()).expect("a body");
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["site"], "branch7");
        assert_eq!(body["context"]["SERVICEOUTPUT"], output);
        assert_eq!(body["context"]["LONGSERVICEOUTPUT"], "line 2\\nline 3");
        assert_eq!(
            body["context"]["CONTACTEMAIL"],
            "jane@example.com,joe@example.com"
        );
    }
    // Without the program there is nothing to try again.
    let none = Program::foreign("env", "sitewire")
        .args(["-i", "PATH=/nonexistent", "/bin/sh"])
        .arg(&plugin)
        .run();
    assert!(matches!(none.code(), Some(2)), "{}", none.errors());
}

/// What stands in for `cmk --notify`: it writes down what it was told.
const CMK: &str = r#"#!/usr/bin/env python3
import json, os, sys
if sys.argv[1:] != ["--notify"]:
    sys.exit(2)
with open(os.path.dirname(sys.argv[0]) + "/told", "w") as out:
    json.dump({name[7:]: value for name, value in os.environ.items() if name.startswith("NOTIFY_")}, out)
"#;

#[test]
fn the_ready_lanes_hand_over_what_a_checkmk_takes() {
    if !peer::available("python3", "python3") {
        return;
    }
    let centre = Centre::start(|site| {
        let cmk = site.write("cmk", CMK);
        make_executable(&cmk);
        fs::create_dir(site.path("notify")).expect("own directory");
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        example(
            "lanes-checkmk.toml",
            &[
                (
                    "/omd/sites/central/var/check_mk/notify/spool",
                    &text(&site.path("notify")),
                ),
                ("/omd/sites/central/bin/cmk", &text(&cmk)),
            ],
        )
    });
    let context = [
        ("NOTIFICATIONTYPE", "PROBLEM"),
        ("HOSTNAME", "db1"),
        ("SERVICEDESC", "Größe \"C:\\\" 'x'"),
        ("SERVICESTATE", "CRITICAL"),
        ("LONGSERVICEOUTPUT", "one\ntwo"),
        ("CONTACTS", "anna,joe"),
        ("PARAMETER_TO", "somebody else"),
    ];
    let id = centre.notify(&context);
    let outcome = centre.outcome(&id);
    assert_eq!(
        outcome.last().map(String::as_str),
        Some("ended: delivered"),
        "{outcome:?}"
    );
    let told: Value = serde_json::from_slice(&centre.site.read("told")).expect("what it was told");
    // As the spooler of a Checkmk reads its files.
    let spooled = Program::foreign("python3", "python3")
        .args([
            "-c",
            "import ast, json, sys\n\
             print(json.dumps(ast.literal_eval(open(sys.argv[1]).read())))",
        ])
        .arg(centre.site.path("notify").join(&id))
        .run()
        .success();
    let spooled: Value = serde_json::from_str(&spooled.text()).expect("JSON");
    let members = spooled.as_object().expect("a dictionary");
    assert_eq!(members.keys().collect::<Vec<_>>(), ["context"]);
    for (name, value) in context {
        // What a plugin is told by the rules of a Checkmk comes from there.
        let wanted = (name != "PARAMETER_TO").then(|| Value::from(value));
        assert_eq!(spooled["context"].get(name), wanted.as_ref(), "{name}");
        assert_eq!(told.get(name), wanted.as_ref(), "{name}");
    }
    assert_eq!(told["ID"], id);
    let files = fs::read_dir(centre.site.path("notify")).expect("a directory");
    assert_eq!(files.count(), 1, "nothing half written");
}
