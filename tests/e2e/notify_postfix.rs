//! The built-in SMTP against a real Postfix that asks for a password, is full, breaks
//! off, or changes its mind after the mail was sent: what is recorded, and that
//! nobody gets a mail twice.

use std::os::unix::fs::PermissionsExt;

use harness::policy::Stage;
use harness::postfix::{Manner, RESTRICTIONS, kill_children};
use harness::{Authority, Line, Policy, Postfix, Site, peer, wait_for, wait_until};

use crate::notify_centre::Centre;
use crate::notify_mailers::{SERVICE, text, with};

const USER: &str = "monitoring@example.org";
const PASSWORD: &str = "ge heim\"ß";

/// A lane that is tried again soon.
fn lane(address: &str, more: &str) -> String {
    format!(
        "[[lane]]\nname = 'post'\nsmtp = '{address}'\nfrom = 'Mon <monitoring@example.org>'\n\
         retry = '100ms'\nretry_max = '100ms'\nbreaker = 0\nplaces = 1\n{more}\n"
    )
}

/// Each of what was said has the parts that are wanted.
#[track_caller]
fn check(name: &str, said: &[String], want: &[&[&str]]) {
    assert_eq!(said.len(), want.len(), "{name}: {said:#?}");
    for (said, parts) in said.iter().zip(want) {
        for part in *parts {
            assert!(said.contains(part), "{name}: {part:?} in {said:?}");
        }
    }
}

#[test]
fn a_real_server_believes_a_name_and_its_password() {
    if !peer::available("saslpasswd2", "sasl2-bin") {
        return;
    }
    let authority = Authority::new(&[]);
    let server = authority.server("127.0.0.1");
    for (mechanisms, encryption) in [
        ("PLAIN", "starttls"),
        ("LOGIN", "starttls"),
        ("PLAIN", "tls"),
        ("LOGIN", "tls"),
    ] {
        let name = format!("{mechanisms}, {encryption}");
        let manner = Manner {
            tls: Some(&server),
            is_wrapped: encryption == "tls",
            account: Some((USER, PASSWORD)),
            mechanisms,
            more: "",
        };
        let Some(postfix) = Postfix::start_with(&["anna"], &manner) else {
            return;
        };
        let password = |site: &Site, password: &str| {
            let path = site.write("password", format!("{password}\n"));
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("own file");
        };
        let centre = Centre::start(|site| {
            password(site, "wrong");
            let more = format!(
                "encryption = '{encryption}'\nca = '{}'\nuser = '{USER}'\npassword_file = '{}'\n",
                authority.ca().display(),
                site.path("password").display()
            );
            lane(&postfix.address(), &more)
        });
        // There is a wrong one, then none, then the right one: nothing is lost, and
        // nobody has to tell notifyd.
        let id = centre.notify(SERVICE);
        let wait_for_answer = |part: &str| {
            wait_until(&format!("{name}: {part}"), || {
                let trace = centre.trace(&id);
                let mut texts = trace.iter().filter_map(|event| event["text"].as_str());
                texts.any(|text| text.contains("temporary failure: ") && text.contains(part))
            });
        };
        wait_for_answer("does not believe our name and password: ");
        wait_for_answer("(535): 5.7.8 Error: authentication failed");
        std::fs::remove_file(centre.site.path("password")).expect("it was there");
        wait_for_answer("password: No such file");
        password(&centre.site, PASSWORD);
        let said = centre.outcome(&id);
        let (end, said) = said.split_last().expect("an end");
        assert_eq!(end, "ended: delivered", "{name}: {said:?}");
        let last = said.last().expect("an attempt");
        assert!(
            last.starts_with("success: 250 2.0.0 Ok: queued as "),
            "{name}: {last}"
        );
        assert!(!said.concat().contains(PASSWORD) && !said.concat().contains("wrong"));
        let mail = postfix.wait_for_mail("anna", "PROBLEM");
        let received = mail.header_raw("Received").unwrap_or_default();
        assert!(received.contains("with ESMTPSA "), "{name}: {received}");
        assert!(
            received.contains(&format!("(Authenticated sender: {USER})")),
            "{name}: {received}"
        );
        assert_eq!(postfix.mails("anna").len(), 1, "{name}");
    }
}

#[test]
fn without_a_password_a_server_that_wants_one_refuses_for_good() {
    if !peer::available("saslpasswd2", "sasl2-bin") {
        return;
    }
    let authority = Authority::new(&[]);
    let server = authority.server("127.0.0.1");
    let manner = Manner {
        tls: Some(&server),
        account: Some((USER, PASSWORD)),
        mechanisms: "PLAIN LOGIN",
        ..Manner::default()
    };
    let Some(postfix) = Postfix::start_with(&["anna"], &manner) else {
        return;
    };
    let ca = format!(
        "encryption = 'starttls'\nca = '{}'",
        authority.ca().display()
    );
    let centre = Centre::start(|_| lane(&postfix.address(), &ca));
    check(
        "no password",
        &centre.deliver(SERVICE),
        &[
            &["permanent failure: ", "(554): 5.7.1", "Access denied"],
            &["ended: refused"],
        ],
    );
}

const DELIVERED: [&[&str]; 2] = [
    &["success: 250 2.0.0 Ok: queued as "],
    &["ended: delivered"],
];

#[test]
fn what_a_real_server_says_at_every_step_is_recorded_and_nobody_gets_a_mail_twice() {
    let policy = Policy::start();
    let more = policy.settings(RESTRICTIONS)
        + "message_size_limit = 60000\nsmtpd_recipient_limit = 2\n\
           header_checks = regexp:{ {/^Subject: .*forbidden/ REJECT not such words} }\n";
    let manner = Manner {
        more: &more,
        ..Manner::default()
    };
    let Some(postfix) = Postfix::start_with(&["anna", "joe", "eve"], &manner) else {
        return;
    };
    let centre =
        Centre::start(|_| lane(&postfix.address(), "subject = '{{ host }} {{ service }}'"));
    let master = postfix.pid();
    let say = |text: &'static str| move || text.to_owned();
    let kill = move || {
        kill_children(master, "smtpd");
        String::new()
    };
    type Answer = Box<dyn FnOnce() -> String + Send>;
    let rows: [(&str, Stage, Answer, &[&str]); 8] = [
        (
            "greylisted",
            Stage::Recipient,
            Box::new(say("450 4.7.1 greylisted, come back later")),
            &[
                "temporary failure: ",
                "anna@example.org: ",
                "(450): 4.7.1 ",
                "greylisted",
            ],
        ),
        (
            "451 to a recipient",
            Stage::Recipient,
            Box::new(say("451 4.3.0 look-up failed")),
            &["temporary failure: ", "anna@example.org: ", "(451): 4.3.0 "],
        ),
        (
            "421 to a recipient",
            Stage::Recipient,
            Box::new(say("421 4.7.0 too busy")),
            &["temporary failure: ", "(421): 4.7.0 ", "too busy"],
        ),
        (
            // It may have been closed because it was idle: that costs no attempt.
            "dropped at a recipient",
            Stage::Recipient,
            Box::new(kill),
            &[],
        ),
        (
            "451 after DATA",
            Stage::EndOfMail,
            Box::new(say("451 4.3.0 the scanner is away")),
            &[
                "temporary failure: ",
                "end of data: ",
                "(451): 4.3.0 ",
                "scanner is away",
            ],
        ),
        (
            "421 after DATA",
            Stage::EndOfMail,
            Box::new(say("421 4.3.2 shutting down")),
            &[
                "temporary failure: ",
                "end of data: ",
                "(421): 4.3.2 ",
                "shutting down",
            ],
        ),
        (
            "dropped after DATA",
            Stage::EndOfMail,
            Box::new(kill),
            &["temporary failure: ", "end of data: "],
        ),
        (
            "550 after DATA",
            Stage::EndOfMail,
            Box::new(say("550 5.7.1 looks like spam")),
            &[
                "permanent failure: ",
                "end of data: ",
                "(550): 5.7.1 ",
                "looks like spam",
            ],
        ),
    ];
    for (name, stage, answer, first) in rows {
        policy.once(stage, answer);
        let said = centre.deliver(&with(SERVICE, &[("SERVICEDESC", name)]));
        let want = match first {
            [] => DELIVERED.to_vec(),
            ["permanent failure: ", ..] => vec![first, &["ended: refused"]],
            _ => vec![first, DELIVERED[0], DELIVERED[1]],
        };
        check(name, &said, &want);
    }
    // What needs no service to be refused.
    let long = "x".repeat(100_000);
    for (name, entry, first) in [
        (
            "forbidden",
            ("SERVICEOUTPUT", "x"),
            ["(550): 5.7.1 ", "not such words"],
        ),
        (
            "too long",
            ("LONGSERVICEOUTPUT", &*long),
            ["(552): 5.3.4 ", "too big"],
        ),
    ] {
        let said = centre.deliver(&with(SERVICE, &[("SERVICEDESC", name), entry]));
        let first = ["permanent failure: ", "end of data: ", first[0], first[1]];
        check(name, &said, &[&first, &["ended: refused"]]);
    }
    // More recipients than it takes at once.
    let all = "anna@example.org,joe@example.org,eve@example.org";
    let said = centre.deliver(&with(
        SERVICE,
        &[("SERVICEDESC", "many"), ("CONTACTEMAIL", all)],
    ));
    let first: &[&str] = &[
        "temporary failure: 250 2.0.0 Ok: queued as ",
        "eve@example.org: ",
        "(452): 4.5.3 ",
    ];
    check("many", &said, &[first, DELIVERED[0], DELIVERED[1]]);
    let subjects = |user: &str| -> Vec<String> {
        let mails = postfix.mails(user);
        let subjects = mails.iter().map(|mail| mail.subject().unwrap_or_default());
        let mut subjects: Vec<String> = subjects.map(str::to_owned).collect();
        subjects.sort();
        subjects
    };
    for user in ["joe", "eve"] {
        wait_until("they have one mail each", || subjects(user) == ["db1 many"]);
    }
    let want = [
        "421 after DATA",
        "421 to a recipient",
        "451 after DATA",
        "451 to a recipient",
        "dropped after DATA",
        "dropped at a recipient",
        "greylisted",
        "many",
    ];
    wait_until("all mails are there", || {
        subjects("anna").len() >= want.len()
    });
    assert_eq!(subjects("anna"), want.map(|name| format!("db1 {name}")));
}

#[test]
fn a_mail_whose_answer_was_lost_comes_again_as_the_same_mail() {
    let policy = Policy::start();
    let manner = Manner {
        more: &policy.settings(RESTRICTIONS),
        ..Manner::default()
    };
    let Some(postfix) = Postfix::start_with(&["anna"], &manner) else {
        return;
    };
    let line = Line::new(postfix.port());
    let address = format!("127.0.0.1:{}", line.port());
    let centre = Centre::start(|_| lane(&address, ""));
    policy.once(Stage::EndOfMail, move || {
        // It takes the mail, and nobody hears of it.
        line.reset();
        // The line goes on until the test ends.
        std::mem::forget(line);
        "DUNNO".to_owned()
    });
    let said = centre.deliver(SERVICE);
    let first: &[&str] = &["temporary failure: ", "end of data: "];
    check("lost", &said, &[first, DELIVERED[0], DELIVERED[1]]);
    let mails = wait_for("both mails", || {
        Some(postfix.mails("anna")).filter(|mails| mails.len() == 2)
    });
    assert!(mails[0].message_id().is_some());
    assert_eq!(mails[0].message_id(), mails[1].message_id());
}

#[test]
fn a_server_whose_disk_is_full_gets_the_mail_when_there_is_room() {
    let Some(mut postfix) = Postfix::start(&["anna"], None) else {
        return;
    };
    postfix.stop();
    postfix.set("queue_minfree = 9223372036854775807");
    postfix.run();
    let centre = Centre::start(|_| lane(&postfix.address(), ""));
    let id = centre.notify(SERVICE);
    wait_until("it was refused", || {
        let trace = centre.trace(&id);
        let mut texts = trace.iter().filter_map(|event| event["text"].as_str());
        texts.any(|text| text.contains("MAIL: ") && text.contains("(452): 4.3.1 Insufficient"))
    });
    postfix.stop();
    postfix.set("queue_minfree = 0");
    postfix.run();
    let said = centre.outcome(&id);
    assert_eq!(
        said.last().map(String::as_str),
        Some("ended: delivered"),
        "{said:?}"
    );
    postfix.wait_for_mail("anna", "PROBLEM");
    assert_eq!(postfix.mails("anna").len(), 1);
}

#[test]
fn lines_of_dots_and_of_any_length_arrive_as_they_were() {
    let Some(postfix) = Postfix::start(&["anna"], None) else {
        return;
    };
    let centre = Centre::start(|site| {
        let template = site.write("details.txt", "{{ details }}\n");
        let text = format!("text = '{}'", template.display());
        lane(&postfix.address(), &text)
    });
    let words = "a word ".repeat(400);
    for (name, long) in [
        ("dots", "first\n.\n..\n.x\n...\nQUIT\n.\r\nlast".to_owned()),
        (
            "dots and more than ASCII",
            "größer\n.\n..ü\n.\nlast".to_owned(),
        ),
        ("a dot at the end", "first\n.".to_owned()),
        ("a long line", format!("{words}\n.\nlast")),
    ] {
        let said = centre.deliver(&with(
            SERVICE,
            &[("SERVICEDESC", name), ("LONGSERVICEOUTPUT", &long)],
        ));
        check(name, &said, &DELIVERED);
        let mail = postfix.wait_for_mail("anna", &format!("db1/{name} is CRIT"));
        let text = text(&mail);
        assert_eq!(text.trim_end(), long.replace('\r', "").trim_end(), "{name}");
        let html = mail.body_html(0).expect("a part of HTML");
        assert!(html.trim_end().ends_with("</html>"), "{name}: {html}");
    }
}

/// Notifications of problems, as if a core had submitted them: their ids.
fn drop_problems(centre: &Centre, count: usize) -> Vec<String> {
    let ids = (0..count).map(|number| {
        let id = format!("01a1ff60-75f6-7000-8000-{number:012x}");
        let body = serde_json::json!({
            "v": 1, "id": id, "kind": "raw", "created_us": 1_795_000_000_000_000_u64,
            "site": "central", "path": [],
            "context": {
                "NOTIFICATIONTYPE": "PROBLEM", "WHAT": "SERVICE", "HOSTNAME": format!("host{number}"),
                "SERVICEDESC": "Filesystem /var/lib/something", "SERVICESTATE": "CRITICAL",
                "SERVICEOUTPUT": "CRIT - 97.31% used (38.92 of 40.00 GB), trend: +1.21 GB / 24 hours (!!)",
                "CONTACTNAME": "anna", "CONTACTEMAIL": "anna@example.org",
            },
        });
        let [tmp, new] = ["tmp", "new"].map(|at| centre.site.path("spool").join(at).join(&id));
        std::fs::write(&tmp, body.to_string()).expect("own file");
        std::fs::rename(&tmp, &new).expect("own file");
        id
    });
    ids.collect()
}

#[test]
fn a_storm_of_5000_problems_is_few_mails_that_a_real_server_takes() {
    let Some(postfix) = Postfix::start(&["anna"], None) else {
        return;
    };
    let storm = "[lane.storm]\nat_most = [{ count = 5, within = '1h' }]\ninterval = '2s'";
    let centre = Centre::start(|_| lane(&postfix.address(), storm));
    let mut ids = drop_problems(&centre, 5000);
    let mut found = Vec::new();
    wait_until("all are in mails", || {
        let mails = postfix.mails("anna");
        let texts: Vec<String> = mails.iter().map(text).collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        let found_now = lines.filter_map(|line| line.trim().strip_prefix("Id:"));
        found = found_now.map(|id| id.trim().to_owned()).collect();
        found.len() >= ids.len()
    });
    found.sort_unstable();
    ids.sort_unstable();
    assert!(found == ids, "each once");
    let mails = postfix.mails("anna");
    assert!(mails.len() < 20, "{} mails", mails.len());
    let sizes = mails.iter().map(|mail| mail.raw_message().len());
    assert!(sizes.max() < Some(2_500_000), "small enough for any server");
}
