//! Every way to a mail there is, into one real mail server: the built-in SMTP,
//! `sendmail` of Postfix and msmtp, Icinga 2's own scripts with the program `mail`,
//! openITCOCKPIT's command line, and plugins as Checkmk has them, one by one and
//! in bulk.

use harness::postfix::{LATER, Manner, UNKNOWN};
use harness::{Authority, Postfix, Site, peer, wait_until};
use mail_parser::Message;

use crate::notify_centre::Centre;
use crate::notify_line::example;
use crate::notify_sites::make_executable;

pub(crate) const SERVICE: &[(&str, &str)] = &[
    ("NOTIFICATIONTYPE", "PROBLEM"),
    ("HOSTNAME", "db1"),
    ("HOSTALIAS", "Joe's \"db\" $(id)"),
    ("HOSTADDRESS", "192.0.2.7"),
    ("HOSTSTATE", "UP"),
    ("HOSTOUTPUT", "PING OK"),
    ("SERVICEDESC", "Disk größer"),
    ("SERVICESTATE", "CRITICAL"),
    ("SERVICESHORTSTATE", "CRIT"),
    ("LASTSERVICESTATE", "OK"),
    ("SERVICEOUTPUT", "99 % used; `id` $HOME <b> ü"),
    ("LONGSERVICEOUTPUT", "first\\nsecond"),
    ("CONTACTNAME", "anna"),
    ("CONTACTALIAS", "Anna Admin"),
    ("CONTACTEMAIL", "anna@example.org"),
];
const HOST: &[(&str, &str)] = &[
    ("NOTIFICATIONTYPE", "ACKNOWLEDGEMENT"),
    ("NOTIFICATIONAUTHOR", "jörg"),
    ("NOTIFICATIONCOMMENT", "it's \"being\" looked at"),
    ("HOSTNAME", "db1"),
    ("HOSTALIAS", "Joe's \"db\""),
    ("HOSTADDRESS", "192.0.2.7"),
    ("HOSTSTATE", "DOWN"),
    ("HOSTOUTPUT", "no answer"),
    ("CONTACTNAME", "anna"),
    ("CONTACTALIAS", "Anna Admin"),
    ("CONTACTEMAIL", "anna@example.org"),
];
const DELIVERED: [&str; 2] = ["success: exit code 0", "ended: delivered"];

/// A script in the directory of a site; `@` stands for that.
fn script(site: &Site, name: &str, text: &str) -> String {
    let at = site.directory().display().to_string();
    let path = site.write(name, text.replace("@/", &format!("{at}/")));
    make_executable(&path);
    path.display().to_string()
}

/// `sendmail` that hands over to this Postfix.
fn sendmail(site: &Site, postfix: &Postfix) -> String {
    let text = format!(
        "#!/bin/sh\nMAIL_CONFIG={} exec /usr/sbin/sendmail \"$@\"\n",
        postfix.directory().display()
    );
    script(site, "sendmail", &text)
}

pub(crate) fn with<'a>(
    base: &[(&'a str, &'a str)],
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let is_replaced = |name: &str| more.iter().any(|(other, _)| *other == name);
    let kept = base.iter().filter(|(name, _)| !is_replaced(name));
    kept.chain(more).copied().collect()
}

pub(crate) fn text(mail: &Message<'_>) -> String {
    let text = mail.body_text(0).expect("a part of text");
    text.replace("\r\n", "\n")
}

fn sender<'a>(mail: &'a Message<'_>) -> Option<&'a str> {
    mail.from()?.first()?.address()
}

#[test]
fn what_a_real_server_answers_is_recorded_for_each_recipient() {
    let Some(postfix) = Postfix::start(&["anna", "joe"], None) else {
        return;
    };
    let centre = Centre::start(|_| {
        format!(
            "[[lane]]\nname = 'post'\nsmtp = '{}'\nfrom = 'Mon <mon@example.org>'\n\
             retry = '100ms'\nexpire = '1s'\n",
            postfix.address()
        )
    });
    let both = format!("{LATER},{UNKNOWN}");
    let three = format!("anna@example.org,{UNKNOWN},joe@example.org");
    for (to, first, end) in [
        (
            "anna@example.org",
            &["success: 250 2.0.0 Ok: queued as "][..],
            "ended: delivered",
        ),
        (
            UNKNOWN,
            &["permanent failure: ", "(550): 5.1.1", "User unknown"],
            "ended: refused",
        ),
        (
            LATER,
            &["temporary failure: ", "(450): 4.7.1", "come back later"],
            "ended: expired",
        ),
        (
            &both,
            &["temporary failure: ", "(450): 4.7.1", "(550): 5.1.1"],
            "ended: expired",
        ),
        (
            &three,
            &["success: 250 2.0.0 Ok", UNKNOWN, "(550): 5.1.1"],
            "ended: delivered",
        ),
    ] {
        let outcome = centre.deliver(&with(SERVICE, &[("CONTACTEMAIL", to)]));
        for part in first {
            assert!(outcome[0].contains(part), "{to}: {part:?} in {outcome:?}");
        }
        let last = outcome.last().expect("an end");
        assert!(last.starts_with(end), "{to}: {outcome:?}");
    }
    wait_until("the mails are in their boxes", || {
        postfix.mails("anna").len() == 2 && postfix.mails("joe").len() == 1
    });
}

#[test]
fn a_real_server_must_prove_who_it_is() {
    let (authority, other) = (Authority::new(&[]), Authority::new(&[]));
    let server = authority.server("127.0.0.1");
    let Some(postfix) = Postfix::start(&["anna"], Some(&server)) else {
        return;
    };
    let address = postfix.address();
    let lane = |name: &str, encryption: &str, ca: &Authority| {
        format!(
            "[[lane]]\nname = '{name}'\nsmtp = '{address}'\nencryption = '{encryption}'\n\
             from = 'mon@example.org'\nca = '{}'\nretry = '100ms'\nexpire = '1s'\n",
            ca.ca().display()
        )
    };
    for (encryption, ca, first, end) in [
        ("starttls", &authority, "success: 250 ", "ended: delivered"),
        ("starttls", &other, "STARTTLS: ", "ended: expired"),
        // It insists on TLS: that is no fault of the mail.
        ("none", &authority, "temporary failure: ", "ended: expired"),
    ] {
        let centre = Centre::start(|_| lane("post", encryption, ca));
        let outcome = centre.deliver(SERVICE);
        assert!(outcome[0].contains(first), "{encryption}: {outcome:?}");
        let last = outcome.last().expect("an end");
        assert!(last.starts_with(end), "{encryption}: {outcome:?}");
    }
    let mail = postfix.wait_for_mail("anna", "PROBLEM");
    let received = mail.header_raw("Received").unwrap_or_default();
    assert!(received.contains("with ESMTPS "), "{received}");
    assert_eq!(postfix.mails("anna").len(), 1);
    // One that is believed, but is somebody else.
    let server = authority.server("127.0.0.2");
    for (encryption, is_wrapped, said) in [("starttls", false, "STARTTLS: "), ("tls", true, "")] {
        let manner = Manner {
            tls: Some(&server),
            is_wrapped,
            ..Manner::default()
        };
        let Some(other) = Postfix::start_with(&["anna"], &manner) else {
            return;
        };
        let lane = lane("post", encryption, &authority).replace(&address, &other.address());
        let centre = Centre::start(|_| lane);
        let outcome = centre.deliver(SERVICE);
        for part in [
            "temporary failure: ",
            said,
            "certificate not valid for name",
        ] {
            assert!(
                outcome[0].contains(part),
                "{encryption}: {part:?} in {outcome:?}"
            );
        }
        let last = outcome.last().expect("an end");
        assert!(last.starts_with("ended: expired"), "{outcome:?}");
        assert!(other.mails("anna").is_empty(), "{encryption}");
    }
}

#[test]
fn programs_called_sendmail_take_mails_and_say_when_they_cannot() {
    if !peer::available("msmtp", "msmtp") {
        return;
    }
    let Some(mut postfix) = Postfix::start(&["anna", "joe"], None) else {
        return;
    };
    let centre = Centre::start(|site| {
        let config = site.write(
            "msmtprc",
            format!(
                "account default\nhost 127.0.0.1\nport {}\ntls off\nauth off\n",
                postfix.port()
            ),
        );
        let msmtp = format!("#!/bin/sh\nexec msmtp -C {} \"$@\"\n", config.display());
        format!(
            "[[lane]]\nname = 'queue'\nsendmail = '{}'\nto = 'anna@example.org'\n\
             from = 'Mon <mon@example.org>'\nretry = '100ms'\n\
             [[lane]]\nname = 'direct'\nsendmail = '{}'\nto = 'Joe <joe@example.org>'\n\
             from = 'Mon <mon@example.org>'\nretry = '100ms'\n",
            sendmail(site, &postfix),
            script(site, "msmtp", &msmtp),
        )
    });
    centre.deliver(SERVICE);
    for user in ["anna", "joe"] {
        let mail = postfix.wait_for_mail(user, "*** PROBLEM - db1/Disk größer is CRIT ***");
        assert_eq!(sender(&mail), Some("mon@example.org"), "{user}");
        assert!(
            text(&mail).contains("99 % used; `id` $HOME <b> ü"),
            "{user}"
        );
    }
    // Postfix has a queue for which nothing need run, msmtp has none.
    postfix.stop();
    let id = centre.notify(HOST);
    wait_until("one has it, the other has failed", || {
        let trace = centre.trace(&id);
        let has = |part: &str| {
            let mut texts = trace.iter().filter_map(|event| event["text"].as_str());
            texts.any(|text| text.contains(part))
        };
        has("lane queue: attempt 1 ended, success")
            && has("lane direct: attempt 2 ended, temporary failure: exit code 7")
    });
    postfix.run();
    let outcome = centre.outcome(&id);
    assert_eq!(
        outcome.last().map(String::as_str),
        Some("ended: delivered"),
        "{outcome:?}"
    );
    for user in ["anna", "joe"] {
        postfix.wait_for_mail(user, "*** ACKNOWLEDGEMENT - db1 is DOWN ***");
        assert_eq!(postfix.mails(user).len(), 2, "{user}");
    }
}

/// Everything of a host goes to the lane for hosts, the rest to the other.
fn rules(of_hosts: &str, of_services: &str) -> String {
    format!(
        "match = 'all'\n[[contact]]\nname = 'anna'\nalias = 'Anna Admin'\nemail = 'anna@example.org'\n\
         [[contact]]\nname = 'joe'\nalias = 'Joe'\nemail = 'joe@example.org'\n\
         [[rule]]\nname = 'hosts'\nabout = 'host'\ncontacts = 'anna'\nlanes = '{of_hosts}'\n\
         [[rule]]\nname = 'services'\nabout = 'service'\ncontacts = ['anna', 'joe']\n\
         lanes = '{of_services}'\n"
    )
}

/// The lanes of the example, into this Postfix. The program of openITCOCKPIT is `cake`.
fn commands(site: &Site, postfix: &Postfix, cake: &str) -> String {
    let environment = format!(
        "\nenvironment = {{ MAIL_CONFIG = '{}', HOME = '{}' }}\ncommand = [",
        postfix.directory().display(),
        site.path("var").display()
    );
    let example = example(
        "lanes-command.toml",
        &[
            ("/opt/openitc/frontend/bin/cake", cake),
            ("\ncommand = [", &environment),
        ],
    );
    format!("[rules]\nfile = 'rules.toml'\n{example}")
}

#[test]
fn icinga_2s_own_scripts_send_by_the_mail_program_of_the_machine() {
    let has = |program, package| peer::available(program, package);
    if !has("icinga2", "icinga2") || !has("mail", "bsd-mailx") {
        return;
    }
    let Some(postfix) = Postfix::start(&["anna", "joe"], None) else {
        return;
    };
    let centre = Centre::start(|site| {
        site.write("etc/rules.toml", rules("icinga-host", "icinga-service"));
        commands(site, &postfix, "/bin/false")
    });
    assert_eq!(centre.deliver(SERVICE), DELIVERED);
    let subject = "[PROBLEM] Disk größer on Joe's \"db\" $(id) is CRITICAL!";
    for user in ["anna", "joe"] {
        let mail = postfix.wait_for_mail(user, subject);
        assert_eq!(sender(&mail), Some("icinga@example.org"));
        let text = text(&mail);
        for line in [
            "Info:    99 % used; `id` $HOME <b> ü",
            "Service: Disk größer",
            "Host:    db1",
            "IPv4:    192.0.2.7",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        assert!(!text.contains("Comment by"), "{text}");
    }
    assert_eq!(centre.deliver(HOST), DELIVERED);
    let mail = postfix.wait_for_mail("anna", "[ACKNOWLEDGEMENT] Host Joe's \"db\" is DOWN!");
    let text = text(&mail);
    assert!(
        text.contains("Comment by jörg:\n  it's \"being\" looked at"),
        "{text}"
    );
    // Without an output the scripts would send nothing.
    assert_eq!(
        centre.deliver(&with(HOST, &[("HOSTOUTPUT", "")])),
        DELIVERED
    );
    wait_until("three mails are there", || postfix.mails("anna").len() == 3);
    assert_eq!(postfix.mails("joe").len(), 1);
}

/// What stands in for openITCOCKPIT's mailer: it takes the options that its command
/// lines have, and no others, and sends a mail of them.
const CAKE: &str = r#"#!/usr/bin/env python3
import argparse, email.message, subprocess, sys
options = argparse.ArgumentParser(prog="cake")
options.add_argument("shell", choices=["nagios_notification"])
options.add_argument("-q", action="store_true", required=True)
options.add_argument("--type", choices=["Host", "Service"], required=True)
options.add_argument("--format", choices=["text", "html", "both"], required=True)
for name in ("notificationtype", "hostname", "hoststate", "hostaddress", "hostoutput", "contactmail", "contactalias"):
    options.add_argument("--" + name, required=True)
for name in ("servicedesc", "servicestate", "serviceoutput", "servicelongoutput",
             "hostackauthor", "hostackcomment", "serviceackauthor", "serviceackcomment"):
    options.add_argument("--" + name)
given = options.parse_args()
mail = email.message.EmailMessage()
mail["To"] = given.contactmail
mail["From"] = "openITCOCKPIT <itc@example.org>"
mail["Subject"] = "%s: %s %s" % (given.notificationtype, given.servicedesc or given.hostname,
                                 given.servicestate or given.hoststate)
mail.set_content("\n".join("%s=%s" % item for item in sorted(vars(given).items()) if item[1] is not None) + "\n")
sent = subprocess.run(["/usr/sbin/sendmail", "-i", "-t"], input=bytes(mail))
sys.exit(0 if sent.returncode == 0 else 1)
"#;

#[test]
fn openitcockpits_mailer_is_called_as_its_own_cores_call_it() {
    let Some(postfix) = Postfix::start(&["anna", "joe"], None) else {
        return;
    };
    if !peer::available("python3", "python3") {
        return;
    }
    let centre = Centre::start(|site| {
        site.write(
            "etc/rules.toml",
            rules("openitcockpit-host", "openitcockpit-service"),
        );
        let cake = script(site, "cake", CAKE);
        commands(site, &postfix, &cake)
    });
    assert_eq!(centre.deliver(SERVICE), DELIVERED);
    let mail = postfix.wait_for_mail("joe", "PROBLEM: Disk größer CRITICAL");
    let said = text(&mail);
    for line in [
        "contactalias=Anna Admin",
        "contactmail=anna@example.org,joe@example.org",
        "hostaddress=192.0.2.7",
        "hostoutput=PING OK",
        "hoststate=UP",
        "serviceackauthor=\n",
        "servicelongoutput=first\nsecond",
        "serviceoutput=99 % used; `id` $HOME <b> ü",
        "type=Service",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
    assert_eq!(centre.deliver(HOST), DELIVERED);
    let said = text(&postfix.wait_for_mail("anna", "ACKNOWLEDGEMENT: db1 DOWN"));
    for line in [
        "hostackauthor=jörg",
        "hostackcomment=it's \"being\" looked at",
        "type=Host",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
}

/// A plugin as Checkmk has them, of its own making: what it is told comes by the
/// environment, or as blocks on standard input when it is called with `--bulk`. It
/// says so in the third line, if it can.
const PLUGIN: &str = r##"#!/usr/bin/env python3
# Plain mail
# Bulk: yes
import os, subprocess, sys

def event(of):
    what = of["HOSTNAME"] + ("/" + of["SERVICEDESC"] if of["WHAT"] == "SERVICE" else "")
    state = of["SERVICESHORTSTATE"] if of["WHAT"] == "SERVICE" else of["HOSTSHORTSTATE"]
    return what, "%s %s" % (of["NOTIFICATIONTYPE"], state)

def describe(of):
    what, happened = event(of)
    lines = ["%-20s%s" % ("Event:", what + " " + happened)]
    output = "SERVICEOUTPUT" if of["WHAT"] == "SERVICE" else "HOSTOUTPUT"
    lines.append("%-20s%s" % ("Output:", of[output]))
    if "longoutput" in parameters.get("ELEMENTSS", "").split():
        lines.append(of["LONG" + output].replace("\\n", "\n"))
    return "\n".join(lines)

if sys.argv[1:] == ["--bulk"]:
    blocks = sys.stdin.read().split("\n\n")
    blocks = [dict(line.replace("\1", "\n").split("=", 1) for line in block.splitlines()) for block in blocks]
    parameters = {name[len("PARAMETER_"):]: value for name, value in blocks[0].items()}
    told = blocks[1:]
    subject = "Check_MK: %d notifications for %s" % (len(told), told[0]["HOSTNAME"])
elif len(sys.argv) == 1:
    of = {name[len("NOTIFY_"):]: value for name, value in os.environ.items() if name.startswith("NOTIFY_")}
    parameters = {name[len("PARAMETER_"):]: value for name, value in of.items() if name.startswith("PARAMETER_")}
    told = [of]
    subject = "Check_MK: %s %s" % event(of)
else:
    sys.exit(2)
to = told[0]["CONTACTEMAIL"]
mail = "From: %s\nTo: %s\nSubject: %s\nContent-Type: text/plain; charset=utf-8\n\n%s\n" % (
    parameters["FROM"], to, subject, "\n\n".join(describe(of) for of in told))
sent = subprocess.run(["@/sendmail", "-i", "-F", parameters["FROM"], "-f", parameters["FROM"]] + to.split(","),
                      input=mail.encode())
if sent.returncode:
    sys.exit(2)
print("sent %d to %s" % (len(told), to))
"##;

/// Three notifications of one host come together.
fn bulk(site: &Site, plugin: &str) -> String {
    site.write(
        "etc/rules.toml",
        "match = 'all'\n[[contact]]\nname = 'anna'\nemail = 'anna@example.org'\n\
         [[contact]]\nname = 'joe'\nemail = 'joe@example.org'\n\
         [[rule]]\nname = 'all'\ncontacts = ['anna', 'joe']\nlanes = 'plugin'\n\
         parameters = { from = 'checkmk@example.org', elements = ['perfdata', 'longoutput'] }\n",
    );
    format!(
        "[rules]\nfile = 'rules.toml'\n[[lane]]\nname = 'plugin'\nscript = '{plugin}'\n\
         retry = '100ms'\n[lane.bulk]\nby = ['host']\ninterval = '30s'\ncount = 3\n"
    )
}

/// Sends the three, and waits for their ends.
fn send_three(centre: &Centre) {
    let ids: Vec<String> = [
        with(SERVICE, &[("WHAT", "SERVICE")]),
        with(
            SERVICE,
            &[
                ("WHAT", "SERVICE"),
                ("SERVICEDESC", "Load = 1"),
                ("LONGSERVICEOUTPUT", "one\ntwo"),
            ],
        ),
        with(
            HOST,
            &[
                ("WHAT", "HOST"),
                ("HOSTSHORTSTATE", "DOWN"),
                ("LONGHOSTOUTPUT", ""),
            ],
        ),
    ]
    .iter()
    .map(|entries| centre.notify(entries))
    .collect();
    for id in ids {
        let outcome = centre.outcome(&id);
        assert_eq!(
            outcome.last().map(String::as_str),
            Some("ended: delivered: in a bulk"),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_plugin_of_checkmks_kind_gets_a_bulk_as_blocks() {
    if !peer::available("python3", "python3") {
        return;
    }
    let Some(postfix) = Postfix::start(&["anna", "joe"], None) else {
        return;
    };
    let centre = Centre::start(|site| {
        sendmail(site, &postfix);
        let plugin = script(site, "plugin", PLUGIN);
        bulk(site, &plugin)
    });
    send_three(&centre);
    for user in ["anna", "joe"] {
        let mail = postfix.wait_for_mail(user, "Check_MK: 3 notifications for db1");
        assert_eq!(sender(&mail), Some("checkmk@example.org"));
        let text = text(&mail);
        for part in [
            "Event:              db1/Disk größer PROBLEM CRIT\n",
            "Output:             99 % used; `id` $HOME <b> ü\nfirst\nsecond\n",
            "Event:              db1/Load = 1 PROBLEM CRIT\n",
            "\none\ntwo\n",
            "Event:              db1 ACKNOWLEDGEMENT DOWN\n",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        assert_eq!(postfix.mails(user).len(), 1);
    }
}

#[test]
fn a_plugin_that_knows_no_bulk_is_run_once_with_a_summary() {
    if !peer::available("python3", "python3") {
        return;
    }
    let Some(postfix) = Postfix::start(&["anna", "joe"], None) else {
        return;
    };
    let centre = Centre::start(|site| {
        sendmail(site, &postfix);
        let plugin = script(site, "plugin", &PLUGIN.replace("# Bulk: yes", "# Bulk: no"));
        bulk(site, &plugin)
    });
    send_three(&centre);
    let mail = postfix.wait_for_mail("anna", "Check_MK: db1 ");
    let text = text(&mail);
    for part in [
        "Output:             3 notifications\n",
        "PROBLEM db1/Disk größer is CRIT: 99 % used; `id` $HOME <b> ü\n",
        "PROBLEM db1/Load = 1 is CRIT: 99 % used",
        "ACKNOWLEDGEMENT db1 is DOWN: no answer\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert_eq!(postfix.mails("anna").len(), 1);
}
