//! From a check that finds something critical to the central site: a real core
//! notices it, calls `notify` by the definitions in `packaging/examples`, and what
//! the plugin said is at the central site as it was.
//!
//! The remote site has the configuration of five lines from there, too.

use std::collections::BTreeMap;
use std::fs;

use harness::{Icinga2, Nagios, Site, peer, wait_for, wait_until};

use crate::notify_line::{Line, example, forward_only};
use crate::notify_sites::{Sites, make_executable};

/// What a plugin may say. The text has all that shells, cores and encodings
/// trip over; the last line is perfdata as well.
const SAID: &str = "CRIT $HOME $USER1$ $(id) \"double\" 'single' `tick` <b>&amp; größer ✓ 100% \\ end|load=99%;80;90\n\
                    second 'line' with \"quotes\" and $HOSTNAME$\nthird: ü\n";
const FIRST: &str =
    "CRIT $HOME $USER1$ $(id) \"double\" 'single' `tick` <b>&amp; größer ✓ 100% \\ end";

/// Two sites, of which central keeps the variables of each notification in a file.
struct Kept(Line);

impl Kept {
    fn start() -> Self {
        Self(Line::start(|sites| {
            let script = sites.central.write(
                "keep",
                format!(
                    "#!/bin/sh\nmkdir -p {0}/part.$NOTIFY_ID && env -0 >{0}/part.$NOTIFY_ID/env && \
                     mv {0}/part.$NOTIFY_ID {0}/$NOTIFY_ID\n",
                    sites.central.path("kept").display()
                ),
            );
            make_executable(&script);
            format!("[[lane]]\nname = 'keep'\nscript = '{}'\n", script.display())
        }))
    }

    fn check_trace(&self, id: &str) {
        self.0.check_trace(id);
    }

    /// The variables of all notifications that have reached the central site.
    fn arrived(&self) -> Vec<BTreeMap<String, String>> {
        let entries = fs::read_dir(self.0.sites.central.path("kept"));
        let entries = entries.into_iter().flatten().flatten();
        let whole = entries.filter(|entry| !entry.file_name().to_string_lossy().contains("part"));
        let read = |entry: fs::DirEntry| {
            let env = fs::read(entry.path().join("env")).expect("what the script wrote");
            let variables = env.split(|byte| *byte == 0).filter_map(|variable| {
                let text = std::str::from_utf8(variable).expect("UTF-8");
                let (name, value) = text.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            });
            variables.collect()
        };
        whole.map(read).collect()
    }

    /// The notification of the service, once it has arrived.
    #[track_caller]
    fn wait_for_service(&self) -> BTreeMap<String, String> {
        self.wait_for("NOTIFY_SERVICEDESC", "Load größer")
    }

    /// The notification that somebody sent by hand.
    #[track_caller]
    fn wait_for_custom(&self) -> BTreeMap<String, String> {
        self.wait_for("NOTIFY_NOTIFICATIONTYPE", "CUSTOM")
    }

    #[track_caller]
    fn wait_for(&self, name: &str, value: &str) -> BTreeMap<String, String> {
        wait_for(
            &format!("a notification with {name}={value} has arrived"),
            || {
                let is_it = |variables: &BTreeMap<String, String>| {
                    variables.get(name).map(String::as_str) == Some(value)
                };
                self.arrived().into_iter().find(is_it)
            },
        )
    }
}

/// A host and a service whose plugin says [`SAID`].
fn objects(site: &Site) -> String {
    let plugin = site.write(
        "plugin",
        format!("#!/bin/sh\ncat {}\nexit 2\n", site.path("said").display()),
    );
    make_executable(&plugin);
    site.write("said", SAID);
    format!(
        "define command {{\n command_name says\n command_line {}\n}}\n\
         define host {{\n host_name db1\n alias Joe's \"db\"\n address 192.0.2.7\n check_command check_dummy\n \
         max_check_attempts 1\n active_checks_enabled 0\n notification_interval 0\n \
         notification_period sitewire-always\n contacts sitewire\n}}\n\
         define service {{\n host_name db1\n service_description Load größer\n check_command says\n \
         max_check_attempts 1\n active_checks_enabled 0\n notification_interval 0\n \
         check_period sitewire-always\n notification_period sitewire-always\n contacts sitewire\n}}\n",
        plugin.display()
    )
}

/// A line of output as Nagios keeps it: the semicolon separates fields of its log.
fn in_nagios(text: &str) -> String {
    text.replace(';', ":")
}

/// A Nagios with `example` as its way out, and a service that goes critical.
fn nagios(line: &Kept, file: &str, settings: &str) -> Option<Nagios> {
    let mut nagios = Nagios::new("remote1")?;
    let main = nagios.main();
    let mut text = fs::read_to_string(&main).expect("its configuration");
    text += settings;
    fs::write(&main, text).expect("its configuration");
    nagios.configure("objects.cfg", objects(nagios.site()));
    let definitions = example(file, &[("/usr/bin/notify", &line.0.notify(" "))]);
    nagios.configure(file, definitions);
    nagios.run();
    nagios.command(["SCHEDULE_FORCED_SVC_CHECK;db1;Load größer;1"]);
    Some(nagios)
}

#[test]
fn what_nagios_notices_is_at_the_central_site_as_the_plugin_said_it() {
    if !peer::available("nagios4", "nagios4-core") {
        return;
    }
    let line = Kept::start();
    let Some(nagios) = nagios(&line, "nagios-notify.cfg", "enable_environment_macros=1\n") else {
        return;
    };
    let variables = line.wait_for_service();
    let log = nagios.log();
    for (name, value) in [
        ("NOTIFY_NOTIFICATIONTYPE", "PROBLEM"),
        ("NOTIFY_WHAT", "SERVICE"),
        ("NOTIFY_HOSTNAME", "db1"),
        ("NOTIFY_HOSTALIAS", "Joe's \"db\""),
        ("NOTIFY_HOSTADDRESS", "192.0.2.7"),
        ("NOTIFY_SERVICESTATE", "CRITICAL"),
        ("NOTIFY_SERVICEOUTPUT", &in_nagios(FIRST)),
        ("NOTIFY_SERVICEPERFDATA", "load=99%;80;90"),
        (
            "NOTIFY_LONGSERVICEOUTPUT",
            "second 'line' with \"quotes\" and $HOSTNAME$\\nthird: ü",
        ),
        ("NOTIFY_CONTACTNAME", "sitewire"),
        ("NOTIFY_OMD_SITE", "remote1"),
        ("NOTIFY_ATTEMPT", "1"),
    ] {
        assert_eq!(
            variables.get(name).map(String::as_str),
            Some(value),
            "{name}\n{log}"
        );
    }
    line.check_trace(&variables["NOTIFY_ID"]);
    // Of a host, of another type, with a comment.
    nagios.command(["SEND_CUSTOM_HOST_NOTIFICATION;db1;2;jörg;it's \"only\" a $TEST$"]);
    let custom = line.wait_for_custom();
    for (name, value) in [
        ("NOTIFY_WHAT", "HOST"),
        ("NOTIFY_HOSTNAME", "db1"),
        ("NOTIFY_NOTIFICATIONCOMMENT", "it's \"only\" a $TEST$"),
        ("NOTIFY_NOTIFICATIONAUTHOR", "jörg"),
    ] {
        assert_eq!(custom.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(line.arrived().len(), 2, "one for each");
}

#[test]
fn without_environment_macros_the_arguments_bring_what_the_core_leaves_of_it() {
    if !peer::available("nagios4", "nagios4-core") {
        return;
    }
    let line = Kept::start();
    let settings = "illegal_macro_output_chars=`~$&|'\"<>\n";
    let Some(nagios) = nagios(&line, "naemon-notify.cfg", settings) else {
        return;
    };
    let variables = line.wait_for_service();
    let log = nagios.log();
    // The core takes these out before they can do harm in a shell.
    let cleaned: String = in_nagios(FIRST)
        .chars()
        .filter(|c| !"`~$&|'\"<>".contains(*c))
        .collect();
    for (name, value) in [
        ("NOTIFY_NOTIFICATIONTYPE", "PROBLEM"),
        ("NOTIFY_WHAT", "SERVICE"),
        ("NOTIFY_HOSTNAME", "db1"),
        ("NOTIFY_SERVICESTATE", "CRITICAL"),
        ("NOTIFY_SERVICEOUTPUT", &cleaned),
        ("NOTIFY_CONTACTNAME", "sitewire"),
    ] {
        assert_eq!(
            variables.get(name).map(String::as_str),
            Some(value),
            "{name}\n{log}"
        );
    }
    assert!(
        variables["NOTIFY_LONGSERVICEOUTPUT"].ends_with("\\nthird: ü"),
        "{variables:#?}"
    );
    line.check_trace(&variables["NOTIFY_ID"]);
    // What people may write is no command of the shell either.
    let touched = line.0.sites.remote.path("touched");
    nagios.command([format!(
        "SEND_CUSTOM_HOST_NOTIFICATION;db1;2;o'brien;it's `touch {0}`' $(touch {0}) 'x",
        touched.display()
    )]);
    let custom = line.wait_for_custom();
    let comment = format!("its touch {0} (touch {0}) x", touched.display());
    assert_eq!(custom["NOTIFY_NOTIFICATIONCOMMENT"], comment);
    assert_eq!(custom["NOTIFY_NOTIFICATIONAUTHOR"], "obrien");
    assert!(!touched.exists());
}

#[test]
fn what_icinga_2_notices_is_at_the_central_site_as_the_plugin_said_it() {
    if !peer::available("icinga2", "icinga2") {
        return;
    }
    let line = Kept::start();
    let quoted = line.0.notify("\", \"");
    let objects = example("icinga2-notify.conf", &[("/usr/bin/notify", &quoted)])
        + r#"
object NotificationComponent "notification" { }
object Host "db1" {
  import "quiet"
  display_name = "Joe's \"db\" $HOME"
  address = "192.0.2.7"
  vars.file = "@/etc/says/up"
  vars.code = "0"
}
object Service "Load größer" {
  import "quiet"
  host_name = "db1"
  max_check_attempts = 1
  vars.file = "@/etc/says/critical"
  vars.code = "2"
}
"#;
    let files: [(&str, &[u8]); 2] = [("up", b"OK\n"), ("critical", SAID.as_bytes())];
    let Some(icinga) = Icinga2::start("remote1", &objects, &files) else {
        return;
    };
    icinga.command(["SCHEDULE_FORCED_HOST_CHECK;db1;1"]);
    icinga.wait_for_rows("hosts", &["Filter: has_been_checked = 1"], 1);
    icinga.command(["SCHEDULE_FORCED_SVC_CHECK;db1;Load größer;1"]);
    let variables = line.wait_for_service();
    let (_, rest) = SAID.split_once('\n').expect("lines");
    let output = format!("{FIRST}\n{}", rest.trim_end());
    for (name, value) in [
        ("NOTIFY_NOTIFICATIONTYPE", "PROBLEM"),
        ("NOTIFY_WHAT", "SERVICE"),
        ("NOTIFY_HOSTNAME", "db1"),
        ("NOTIFY_HOSTALIAS", "Joe's \"db\" $HOME"),
        ("NOTIFY_HOSTADDRESS", "192.0.2.7"),
        ("NOTIFY_SERVICESTATE", "CRITICAL"),
        ("NOTIFY_SERVICEOUTPUT", &output),
        ("NOTIFY_SERVICEPERFDATA", "load=99%;80;90"),
        ("NOTIFY_CONTACTNAME", "sitewire"),
        ("NOTIFY_OMD_SITE", "remote1"),
    ] {
        assert_eq!(
            variables.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    line.check_trace(&variables["NOTIFY_ID"]);
    icinga.command(["SEND_CUSTOM_HOST_NOTIFICATION;db1;2;jörg;it's \"only\" a $TEST$"]);
    let custom = line.wait_for_custom();
    assert_eq!(custom["NOTIFY_WHAT"], "HOST");
    assert_eq!(
        custom["NOTIFY_NOTIFICATIONCOMMENT"],
        "it's \"only\" a $TEST$"
    );
    assert_eq!(custom["NOTIFY_NOTIFICATIONAUTHOR"], "jörg");
    assert_eq!(line.arrived().len(), 2, "one for each");
}

#[test]
fn a_remote_site_needs_five_lines() {
    let sites = Sites::new();
    let _central = sites.start_central();
    fs::create_dir_all(sites.remote.path("etc")).expect("own directory");
    std::os::unix::fs::symlink(sites.central.path("certs"), sites.remote.path("etc/certs"))
        .expect("own directory");
    forward_only(&sites);
    let _remote = sites.start_remote();
    let entries = ["NOTIFICATIONTYPE=PROBLEM", "HOSTNAME=db1"].map(str::to_owned);
    let id = sites.notify(&entries).expect("accepted");
    wait_until("it is delivered at the central site", || {
        sites.delivered() == [(id.clone(), 1)]
    });
}
