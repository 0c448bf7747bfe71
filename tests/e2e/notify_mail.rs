//! From a check of a real core to a mail in a mailbox: a Nagios 4 and an Icinga 2
//! at the remote site, `notify`, both notifyds with TLS between them, rules and
//! contacts at the central site, a real Postfix, and a mail of each type that
//! says what happened, to whom it concerns, in one thread.

use harness::livestatus::rows;
use harness::{Icinga2, Nagios, Postfix, peer, wait_for, wait_until};
use mail_parser::Message;

use crate::notify_line::{Line, example};
use crate::notify_sites::{Sites, make_executable};

const HOSTS: [&str; 2] = ["db1", "db2"];
const SERVICES: [&str; 3] = ["Load größer", "Backup", "Restless"];

const RULES: &str = r#"
match = "all"
[[contact]]
name = "anna"
email = "anna@example.org"
groups = ["on-call"]
[[contact]]
name = "joe"
email = "joe@example.org"
[[rule]]
name = "everything"
contact_groups = "on-call"
lanes = "post"
[[rule]]
name = "what people say"
type = ["acknowledgement", "custom"]
contacts = "joe"
lanes = "post"
"#;

/// What a mail must say.
struct Said<'a> {
    kind: &'a str,
    service: &'a str,
    state: &'a str,
    /// Lines of the plain text: title and value.
    lines: &'a [(&'a str, &'a str)],
    /// Titles that it must not have.
    without: &'a [&'a str],
}

/// A core that is told what to do by external commands.
trait Core {
    fn command(&self, command: &str);
    /// The number of the downtime with this comment.
    fn downtime(&self, comment: &str) -> Option<u64>;
    /// The type of the notification of a downtime that somebody removed, its author
    /// and its comment. To Icinga 2 it has just ended, as by its time.
    fn cancelled(&self) -> [&'static str; 3];
}

impl Core for Nagios {
    fn command(&self, command: &str) {
        Nagios::command(self, [command]);
    }

    fn downtime(&self, comment: &str) -> Option<u64> {
        let all = self.annotations("servicedowntime");
        let it = all
            .iter()
            .find(|block| block.get("comment").is_some_and(|c| c == comment));
        it?.get("downtime_id")?.parse().ok()
    }

    fn cancelled(&self) -> [&'static str; 3] {
        ["DOWNTIMECANCELLED", "", ""]
    }
}

impl Core for Icinga2 {
    fn command(&self, command: &str) {
        Icinga2::command(self, [command]);
    }

    fn downtime(&self, comment: &str) -> Option<u64> {
        let filter = format!("Filter: comment = {comment}");
        let all = rows(&self.live(), "downtimes", &["id"], &[&filter]);
        all.first()?.first()?.as_u64()
    }

    fn cancelled(&self) -> [&'static str; 3] {
        ["DOWNTIMEEND", "operator", "long work"]
    }
}

/// Central with rules, contacts and a lane to `postfix`.
fn central(sites: &Sites, postfix: &Postfix) -> String {
    sites.central.write("etc/rules.toml", RULES);
    format!(
        "[rules]\nfile = 'rules.toml'\n[[lane]]\nname = 'post'\nsmtp = '{}'\n\
         from = 'Monitoring <monitoring@example.org>'\n\
         link = 'https://mon.example.org/{{{{ host|percent }}}}/{{{{ service|percent }}}}'\n",
        postfix.address()
    )
}

/// A core, two sites and a mail server.
struct Story<'a> {
    core: &'a dyn Core,
    line: &'a Line,
    postfix: &'a Postfix,
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

impl Story<'_> {
    /// What the plugin of the service says from now on, and that it is run.
    fn check(&self, code: u8, said: &str) {
        self.line.sites.remote.write("said", said);
        self.line.sites.remote.write("code", code.to_string());
        self.core
            .command(&format!("SCHEDULE_FORCED_SVC_CHECK;db1;{};1", SERVICES[0]));
    }

    fn result(&self, service: &str, code: u8) {
        self.core.command(&format!(
            "PROCESS_SERVICE_CHECK_RESULT;db1;{service};{code};said so"
        ));
    }

    /// The mail to `user`, after its words were checked.
    #[track_caller]
    fn mail(&self, user: &str, said: &Said<'_>) -> Message<'static> {
        let (kind, service, state) = (said.kind, said.service, said.state);
        let subject = format!("*** {kind} - db1/{service} is {state}");
        let mail = self.postfix.wait_for_mail(user, &subject);
        let text = mail.body_text(0).expect("a part of text").into_owned();
        let html = mail.body_html(0).expect("a part of HTML").into_owned();
        for (title, want) in said.lines {
            assert_eq!(value(&text, title), *want, "{kind}, {title}: {text}");
            // HTML has states in its banner, and metrics in a table.
            let word = want.split([' ', '=']).next().unwrap_or_default();
            let is_in_html = html.contains(word) || title == &"Before";
            assert!(is_in_html, "{kind}: {word:?} in {html}");
        }
        for title in said.without {
            assert_eq!(value(&text, title), "", "{kind}, {title}: {text}");
        }
        mail
    }

    fn schedule_downtime(&self, seconds: u64, comment: &str) {
        let (start, end) = (now(), now() + seconds);
        self.core.command(&format!(
            "SCHEDULE_SVC_DOWNTIME;db1;Backup;{start};{end};1;0;{seconds};operator;{comment}"
        ));
    }

    /// All types of notifications, one after the other.
    fn tell_everything(&self) {
        // The second one comes after a state that is known.
        for host in HOSTS.repeat(2) {
            self.core
                .command(&format!("PROCESS_HOST_CHECK_RESULT;{host};0;there"));
        }
        for service in SERVICES.repeat(2) {
            self.result(service, 0);
        }
        self.schedule_downtime(4, "short work");
        self.downtime(["DOWNTIMESTART", "operator", "short work"]);
        let problem = self.problem();
        self.host();
        self.flapping();
        let rest = self.rest_of(&problem);
        // Icinga 2 looks once a minute whether one has ended.
        self.downtime(["DOWNTIMEEND", "operator", "short work"]);
        self.schedule_downtime(900, "long work");
        let number = wait_for("the core knows the downtime", || {
            self.core.downtime("long work")
        });
        self.core.command(&format!("DEL_SVC_DOWNTIME;{number}"));
        self.downtime(self.core.cancelled());
        self.threads(&problem, &rest);
    }

    /// Waits for the mail about a downtime.
    #[track_caller]
    fn downtime(&self, [kind, author, comment]: [&str; 3]) {
        wait_until(&format!("{kind} of {comment:?}"), || {
            let subject = format!("*** {kind} - db1/Backup is OK ***");
            let is_it = |mail: &Message<'_>| {
                let text = mail.body_text(0).unwrap_or_default();
                mail.subject() == Some(&subject)
                    && value(&text, "Author") == author
                    && value(&text, "Comment") == comment
                    && value(&text, "Before").is_empty()
            };
            self.postfix.mails("anna").iter().any(is_it)
        });
    }

    /// The second bad result in a row is a hard state.
    fn problem(&self) -> Message<'static> {
        self.result(SERVICES[0], 2);
        self.check(2, "CRIT - load is 99 (!!)|load=99;80;90\n");
        self.mail(
            "anna",
            &Said {
                kind: "PROBLEM",
                service: SERVICES[0],
                state: "CRIT",
                lines: &[
                    ("Address", "192.0.2.7"),
                    ("State", "CRITICAL"),
                    ("Before", "OK"),
                    ("Output", "CRIT - load is 99 (!!)"),
                    ("Metrics", "load=99;80;90"),
                    (
                        "Link",
                        "https://mon.example.org/db1/Load%20gr%C3%B6%C3%9Fer",
                    ),
                    ("Site", "remote1"),
                    ("Path", "remote1 -> central"),
                ],
                without: &["Author", "Comment"],
            },
        )
    }

    /// A host that is down, and up again.
    fn host(&self) {
        for (code, kind, state, lines) in [
            (1, "PROBLEM", "DOWN", [("State", "DOWN"), ("Before", "UP")]),
            (0, "RECOVERY", "UP", [("State", "UP"), ("Before", "DOWN")]),
        ] {
            self.core.command(&format!(
                "PROCESS_HOST_CHECK_RESULT;db2;{code};no answer, or one"
            ));
            let subject = format!("*** {kind} - db2 is {state} ***");
            let mail = self.postfix.wait_for_mail("anna", &subject);
            let text = mail.body_text(0).expect("a part of text");
            for (title, want) in lines {
                assert_eq!(value(&text, title), want, "{kind}, {title}: {text}");
            }
            assert_eq!(value(&text, "Service"), "", "{text}");
            assert_eq!(value(&text, "Output"), "no answer, or one", "{text}");
        }
    }

    fn rest_of(&self, problem: &Message<'_>) -> Vec<Message<'static>> {
        let service = SERVICES[0];
        self.core.command(&format!(
            "ACKNOWLEDGE_SVC_PROBLEM;db1;{service};1;1;1;jörg;looking: isn't it \"funny\" <b>"
        ));
        let acknowledged = Said {
            kind: "ACKNOWLEDGEMENT",
            service,
            state: "CRIT",
            lines: &[
                ("Author", "jörg"),
                ("Comment", "looking: isn't it \"funny\" <b>"),
                ("Before", "OK"),
            ],
            without: &[],
        };
        let mut mails = vec![self.mail("anna", &acknowledged)];
        self.mail("joe", &acknowledged);
        self.core.command(&format!(
            "SEND_CUSTOM_SVC_NOTIFICATION;db1;{service};2;eve;all hands on deck"
        ));
        let custom = Said {
            kind: "CUSTOM",
            service,
            state: "CRIT",
            lines: &[("Author", "eve"), ("Comment", "all hands on deck")],
            without: &[],
        };
        mails.push(self.mail("joe", &custom));
        self.check(0, "OK - load is 1|load=1;80;90\n");
        mails.push(self.mail(
            "anna",
            &Said {
                kind: "RECOVERY",
                service,
                state: "OK",
                lines: &[
                    ("State", "OK"),
                    ("Before", "CRITICAL"),
                    ("Output", "OK - load is 1"),
                ],
                without: &["Author", "Comment"],
            },
        ));
        assert_eq!(recipients(problem), ["anna@example.org"]);
        assert_eq!(
            recipients(&mails[0]),
            ["anna@example.org", "joe@example.org"]
        );
        assert_eq!(
            self.postfix.mails("joe").len(),
            2,
            "what people say, and no more"
        );
        mails
    }

    fn flapping(&self) {
        let said = |kind, state, lines| Said {
            kind,
            service: "Restless",
            state,
            lines,
            without: &["Author", "Comment"],
        };
        for round in 0..12 {
            self.result("Restless", if round % 2 == 0 { 2 } else { 0 });
        }
        // Which of these results makes it flap is the core's affair.
        self.mail("anna", &said("FLAPPINGSTART", "", &[]));
        for _ in 0..22 {
            self.result("Restless", 0);
        }
        self.mail("anna", &said("FLAPPINGSTOP", "OK", &[("State", "OK")]));
    }

    /// Mails of one problem belong together, and each is told from all others.
    fn threads(&self, problem: &Message<'_>, rest: &[Message<'_>]) {
        let thread = |mail: &Message<'_>| mail.references().as_text().map(str::to_owned);
        assert!(thread(problem).is_some());
        for mail in rest {
            assert_eq!(thread(mail), thread(problem), "{:?}", mail.subject());
        }
        let mails = self.postfix.mails("anna");
        let mut ids: Vec<_> = mails.iter().map(|mail| mail.message_id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), mails.len(), "each has an id of its own");
        for mail in &mails {
            let is_other = !mail.subject().unwrap_or("").contains(SERVICES[0]);
            assert_eq!(thread(mail) != thread(problem), is_other);
            assert_eq!(header(mail, "Auto-Submitted"), Some("auto-generated"));
            self.line
                .check_trace(header(mail, "X-Sitewire-Id").expect("an id"));
        }
    }
}

fn header<'a>(mail: &'a Message<'_>, name: &'a str) -> Option<&'a str> {
    mail.header_raw(name).map(str::trim)
}

/// What stands behind a title in the plain text; nothing where it is missing.
fn value<'a>(text: &'a str, title: &str) -> &'a str {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(before, _)| *before == title);
    found.map_or("", |(_, value)| value.trim())
}

fn recipients<'a>(mail: &'a Message<'_>) -> Vec<&'a str> {
    let all = mail.to().into_iter().flat_map(|to| to.iter());
    all.filter_map(|address| address.address()).collect()
}

/// The plugin of the service: says and ends as it is told.
fn plugin(line: &Line) -> String {
    let at = line.sites.remote.directory().display();
    let plugin = line.sites.remote.write(
        "plugin",
        format!("#!/bin/sh\ncat {at}/said\nexit $(cat {at}/code)\n"),
    );
    make_executable(&plugin);
    plugin.display().to_string()
}

#[test]
fn everything_that_nagios_notices_is_a_mail_to_whom_it_concerns() {
    if !peer::available("nagios4", "nagios4-core") {
        return;
    }
    let Some(postfix) = Postfix::start(&["anna", "joe"], None) else {
        return;
    };
    let line = Line::start(|sites| central(sites, &postfix));
    let Some(mut nagios) = Nagios::new("remote1") else {
        return;
    };
    nagios.add_to_main("enable_environment_macros=1\n");
    let mut objects = format!(
        "define command {{\n command_name says\n command_line {}\n}}\n",
        plugin(&line)
    );
    for host in HOSTS {
        objects += &format!(
            "define host {{\n host_name {host}\n address 192.0.2.7\n check_command check_dummy\n \
             max_check_attempts 1\n active_checks_enabled 0\n notification_interval 0\n \
             flap_detection_enabled 0\n \
             notification_period sitewire-always\n contacts sitewire\n}}\n"
        );
    }
    for (service, attempts, flapping) in [
        (SERVICES[0], 2, 0),
        (SERVICES[1], 1, 0),
        (SERVICES[2], 1, 1),
    ] {
        objects += &format!(
            "define service {{\n host_name db1\n service_description {service}\n check_command says\n \
             max_check_attempts {attempts}\n active_checks_enabled 0\n notification_interval 0\n \
             flap_detection_enabled {flapping}\n low_flap_threshold 5\n high_flap_threshold 20\n \
             check_period sitewire-always\n notification_period sitewire-always\n contacts sitewire\n}}\n"
        );
    }
    nagios.configure("objects.cfg", objects);
    let definitions = example(
        "nagios-notify.cfg",
        &[("/usr/bin/notify", &line.notify(" "))],
    );
    nagios.configure("nagios-notify.cfg", definitions);
    nagios.run();
    let story = Story {
        core: &nagios,
        line: &line,
        postfix: &postfix,
    };
    story.tell_everything();
}

#[test]
fn everything_that_icinga_2_notices_is_a_mail_to_whom_it_concerns() {
    if !peer::available("icinga2", "icinga2") {
        return;
    }
    let Some(postfix) = Postfix::start(&["anna", "joe"], None) else {
        return;
    };
    let line = Line::start(|sites| central(sites, &postfix));
    let quoted = line.notify("\", \"");
    let mut objects = example("icinga2-notify.conf", &[("/usr/bin/notify", &quoted)])
        + &format!(
            "object NotificationComponent \"notification\" {{ }}\n\
             object CheckCommand \"told\" {{ command = [ \"{}\" ] }}\n\
             ",
            plugin(&line)
        );
    for host in HOSTS {
        objects += &format!(
            "object Host \"{host}\" {{\n  import \"quiet\"\n  address = \"192.0.2.7\"\n  \
             max_check_attempts = 1\n  check_command = \"dummy\"\n}}\n"
        );
    }
    for (service, attempts, flapping) in [
        (SERVICES[0], 2, false),
        (SERVICES[1], 1, false),
        (SERVICES[2], 1, true),
    ] {
        objects += &format!(
            "object Service \"{service}\" {{\n  host_name = \"db1\"\n  check_command = \"told\"\n  \
             enable_active_checks = false\n  max_check_attempts = {attempts}\n  \
             enable_flapping = {flapping}\n  flapping_threshold_low = 5\n  \
             flapping_threshold_high = 20\n}}\n"
        );
    }
    let Some(icinga) = Icinga2::start("remote1", &objects, &[]) else {
        return;
    };
    let story = Story {
        core: &icinga,
        line: &line,
        postfix: &postfix,
    };
    story.tell_everything();
}
