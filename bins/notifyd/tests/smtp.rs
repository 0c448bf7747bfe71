//! Mails over SMTP, to a server that speaks every fault: what is recorded, and
//! what is tried again.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{Site, wait_until};

/// A mail as it came: the recipients that were taken, and its lines.
#[derive(Debug, Clone)]
struct Taken {
    recipients: Vec<String>,
    text: String,
}

/// What the server says to each recipient and to each mail.
type Script = Box<dyn Fn(&str, usize) -> &'static str + Send + Sync>;

struct Sink {
    address: String,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Sink {
    /// `to_recipient(address, mail)` and `at_end(_, mail)` answer, where `mail`
    /// counts the attempts; an empty answer ends the connection.
    fn start(to_recipient: Script, at_end: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&taken);
        std::thread::spawn(move || {
            let scripts = Arc::new((to_recipient, at_end));
            let mails = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (scripts, mails, all) = (scripts.clone(), mails.clone(), all.clone());
                std::thread::spawn(move || {
                    let (to_recipient, at_end) = &*scripts;
                    serve(stream, &mails, to_recipient, at_end, &all);
                });
            }
        });
        Self { address, taken }
    }

    fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    mails: &AtomicUsize,
    to_recipient: &Script,
    at_end: &Script,
    all: &Mutex<Vec<Taken>>,
) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut say = move |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).ok();
    let mut lines = BufReader::new(stream).lines();
    let (mut recipients, mut mail) = (Vec::new(), 0);
    say("220 sink ESMTP")?;
    while let Some(Ok(line)) = lines.next() {
        let verb = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_uppercase();
        match verb.as_str() {
            "EHLO" => say("250-sink\r\n250 8BITMIME")?,
            "MAIL" => {
                mail = mails.fetch_add(1, Ordering::SeqCst);
                say("250 ok")?;
            }
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                let answer = to_recipient(&address, mail);
                if answer.starts_with('2') {
                    recipients.push(address);
                }
                say(answer)?;
            }
            "DATA" => {
                say("354 go on")?;
                let body = lines
                    .by_ref()
                    .map_while(Result::ok)
                    .take_while(|line| line != ".");
                let unstuffed = |line: String| match line.strip_prefix('.') {
                    Some(rest) => rest.to_owned(),
                    None => line,
                };
                let text = body.map(unstuffed).collect::<Vec<String>>().join("\n");
                let answer = at_end("", mail);
                if answer.is_empty() {
                    return None;
                }
                if answer.starts_with('2') {
                    let recipients = std::mem::take(&mut recipients);
                    all.lock().unwrap().push(Taken { recipients, text });
                }
                say(answer)?;
            }
            "QUIT" => {
                say("221 bye")?;
                return None;
            }
            _ => say("250 ok")?,
        }
    }
    None
}

fn always(answer: &'static str) -> Script {
    Box::new(move |_, _| answer)
}

fn first_then(first: &'static str, then: &'static str) -> Script {
    Box::new(move |_, mail| if mail == 0 { first } else { then })
}

fn lane(address: &str, more: &str) -> String {
    format!(
        "[[lane]]\nname = 'mail'\nsmtp = '{address}'\nfrom = 'Monitoring <mon@example.com>'\n\
         retry = '200ms'\n{more}\n"
    )
}

const THREE: &str = "to = ['a@example.com', 'Bob Öst <b@example.com>', 'c@example.com']";
const CONTEXT: &[(&str, &str)] = &[
    ("NOTIFICATIONTYPE", "PROBLEM"),
    ("HOSTNAME", "db1"),
    ("SERVICEDESC", "Disk /"),
    ("SERVICESTATE", "CRITICAL"),
    ("LASTSERVICESTATE", "OK"),
    ("SERVICEPROBLEMID", "17"),
    ("SERVICEOUTPUT", "99 % used (!!) <b>ä"),
    ("CONTACTEMAIL", "joe@example.com"),
];

#[test]
fn every_answer_of_a_server_has_its_verdict() {
    for (name, to_recipient, at_end, want, mails) in [
        (
            "250",
            always("250 ok"),
            always("250 queued as 1"),
            &["success: 250 queued as 1", "ended delivered"][..],
            1,
        ),
        (
            "550",
            always("550 no such user"),
            always("250 ok"),
            &["permanent failure: 127", "ended refused"],
            0,
        ),
        (
            "554 after data",
            always("250 ok"),
            always("554 spam"),
            &["permanent failure: 127", "ended refused"],
            0,
        ),
        (
            "450",
            first_then("450 greylisted", "250 ok"),
            always("250 2"),
            &[
                "temporary failure: 127",
                "success: 250 2",
                "ended delivered",
            ],
            1,
        ),
        (
            "552, which is 452 by another name",
            first_then("552 too many recipients", "250 ok"),
            always("250 2"),
            &[
                "temporary failure: 127",
                "success: 250 2",
                "ended delivered",
            ],
            1,
        ),
        (
            "451 after data",
            always("250 ok"),
            first_then("451 later", "250 2"),
            &[
                "temporary failure: 127",
                "success: 250 2",
                "ended delivered",
            ],
            1,
        ),
        (
            "421",
            first_then("421 closing", "250 ok"),
            always("250 2"),
            &[
                "temporary failure: 127",
                "success: 250 2",
                "ended delivered",
            ],
            1,
        ),
        (
            "drop after data",
            always("250 ok"),
            first_then("", "250 2"),
            &[
                "temporary failure: 127",
                "success: 250 2",
                "ended delivered",
            ],
            1,
        ),
    ] {
        let sink = Sink::start(to_recipient, at_end);
        let site = Site::new("central", &lane(&sink.address, THREE));
        let daemon = site.start();
        let said = site.outcome(CONTEXT);
        assert_eq!(said.len(), want.len(), "{name}: {said:?}");
        for (said, want) in said.iter().zip(want) {
            assert!(said.starts_with(want), "{name}: {said:?}, not {want:?}");
        }
        assert_eq!(sink.taken().len(), mails, "{name}");
        drop(daemon);
    }
}

#[test]
fn who_is_refused_does_not_keep_others_from_their_mail() {
    let to_recipient: Script = Box::new(|address, mail| match (address, mail) {
        ("b@example.com", _) => "550 no such user",
        ("c@example.com", 0) => "450 greylisted",
        _ => "250 ok",
    });
    let sink = Sink::start(to_recipient, first_then("250 first", "250 second"));
    let site = Site::new("central", &lane(&sink.address, THREE));
    let _daemon = site.start();
    let said = site.outcome(CONTEXT);
    for want in [
        "temporary failure: 250 first",
        "b@example.com: ",
        "550",
        "c@example.com: ",
        "450",
    ] {
        assert!(said[0].contains(want), "{want}: {said:?}");
    }
    assert_eq!(said[1..], ["success: 250 second", "ended delivered"]);
    let recipients: Vec<_> = sink
        .taken()
        .into_iter()
        .map(|mail| mail.recipients)
        .collect();
    assert_eq!(recipients, [["a@example.com"], ["c@example.com"]]);
}

#[test]
fn a_recipient_who_never_gets_it_is_told_of_once_though_others_have_the_mail() {
    let to_recipient: Script = Box::new(|address, _| match address {
        "b@example.com" => "550 no such user",
        "c@example.com" => "450 greylisted",
        _ => "250 ok",
    });
    let sink = Sink::start(to_recipient, always("250 ok"));
    let more = format!(
        "{THREE}\nexpire = '1s'\non_failure = 'pager'\n[[lane]]\nname = 'pager'\n\
         script = '@page'\n[rules]\nfile = '@rules.toml'"
    );
    let site = Site::new("central", &lane(&sink.address, &more));
    let rules = "match = 'all'\n[[rule]]\nname = 'mails'\nlanes = 'mail'\n";
    std::fs::write(site.path("rules.toml"), rules).unwrap();
    site.script(
        "page",
        "echo \"$NOTIFY_FAILED_ID $NOTIFY_FAILED_LANE: $NOTIFY_FAILED_WHY\" >>@log\n\
         echo \"$NOTIFY_SERVICEOUTPUT\" >>@output",
    );
    let daemon = site.start();
    let id = site.submit(CONTEXT);
    // One has it; the time of another runs out, which is told of, too.
    wait_until("all have ended", || {
        site.state()["open"] == 0 && site.state()["delivered"] == 2
    });
    assert_eq!(site.history(id).last().unwrap(), "ended expired");
    let (log, output) = (site.lines("log"), site.lines("output"));
    assert_eq!(log.len(), 2, "{log:?}");
    for (at, why, not, said) in [
        (
            0,
            "refused: b@example.com: ",
            "c@",
            "PROBLEM was not delivered to some by lane mail: ",
        ),
        (
            1,
            "expired: not delivered in time; last: ",
            "b@",
            "PROBLEM was not delivered by lane mail: ",
        ),
    ] {
        assert!(log[at].starts_with(&format!("{id} mail: {why}")), "{log:?}");
        assert!(!log[at].contains(not), "{log:?}");
        assert!(output[at].starts_with(said), "{output:?}");
    }
    assert_eq!(sink.taken().len(), 1);
    daemon.terminate();
}

#[test]
fn who_has_a_mail_does_not_get_it_again_whatever_is_killed_in_between() {
    let to_recipient: Script = Box::new(|address, mail| match (address, mail) {
        ("b@example.com", 0) | ("c@example.com", 0..=2) => "450 greylisted",
        _ => "250 ok",
    });
    let sink = Sink::start(to_recipient, always("250 ok"));
    let never = lane(&sink.address, THREE).replace("retry = '200ms'", "retry = '1h'");
    assert!(never.contains("1h"), "{never}");
    let site = Site::new("central", &never);
    let mut daemon = site.start();
    let id = site.submit(CONTEXT);
    // Each start makes one attempt: b gets it with the second, c with the fourth.
    for attempt in 1..=3 {
        let result = format!("result {attempt} temporary failure");
        wait_until("it is recorded", || site.history(id).contains(&result));
        daemon.kill();
        daemon = site.start();
    }
    wait_until("it has ended", || {
        site.history(id)
            .last()
            .is_some_and(|last| last == "ended delivered")
    });
    let mails = sink.taken().into_iter().map(|mail| mail.recipients);
    let mails: Vec<_> = mails.collect();
    assert_eq!(
        mails,
        [["a@example.com"], ["b@example.com"], ["c@example.com"]]
    );
    drop(daemon);
}

#[test]
fn recipients_that_are_refused_do_not_stop_the_lane_and_a_server_that_is_ill_does() {
    let opens = |to_recipient: Script| {
        let sink = Sink::start(to_recipient, always("250 ok"));
        let text = lane(&sink.address, THREE).replace("retry = '200ms'", "retry = '1h'");
        let site = Site::new("central", &(text + "breaker = 3\n"));
        let daemon = site.start();
        for host in ["h1", "h2", "h3", "h4", "h5"] {
            site.submit(&[("HOSTNAME", host)]);
        }
        let lane = || site.state()["lanes"][0].clone();
        let settled = || lane()["breaker"].is_object() || site.state()["deferred"]["count"] == 5;
        wait_until("all have failed, or one stands for them", settled);
        let is_open = lane()["breaker"].is_object();
        daemon.terminate();
        is_open
    };
    assert!(!opens(always("452 mailbox full")));
    assert!(opens(always("421 too busy")));
}

#[test]
fn a_mail_says_what_happened_in_text_and_html() {
    let sink = Sink::start(always("250 ok"), always("250 ok"));
    let more = format!(
        "{THREE}\nlink = 'https://mon.example/{{{{ host|percent }}}}/{{{{ service|percent }}}}'"
    );
    let site = Site::new("central", &lane(&sink.address, &more));
    let _daemon = site.start();
    site.outcome(CONTEXT);
    let recovery: Vec<_> = CONTEXT
        .iter()
        .copied()
        .map(|(name, value)| match name {
            "SERVICEPROBLEMID" => ("LASTSERVICEPROBLEMID", value),
            "NOTIFICATIONTYPE" => (name, "RECOVERY"),
            "SERVICESTATE" => (name, "OK"),
            _ => (name, value),
        })
        .collect();
    site.outcome(&recovery);
    let taken = sink.taken();
    assert_eq!(taken.len(), 2, "one connection serves both");
    let parsed: Vec<_> = taken
        .iter()
        .map(|mail| {
            mail_parser::MessageParser::default()
                .parse(mail.text.as_bytes())
                .unwrap()
                .into_owned()
        })
        .collect();
    let mail = &parsed[0];
    assert_eq!(mail.subject(), Some("*** PROBLEM - db1/Disk / is CRIT ***"));
    assert_eq!(
        taken[0].recipients,
        ["a@example.com", "b@example.com", "c@example.com"]
    );
    let text = mail.body_text(0).unwrap();
    let html = mail.body_html(0).unwrap();
    assert!(text.contains("Output:       99 % used (!!) <b>ä"), "{text}");
    assert!(
        text.contains("Link:         https://mon.example/db1/Disk%20%2F"),
        "{text}"
    );
    assert!(html.contains("99 % used <b style"), "{html}");
    assert!(html.contains("&lt;b&gt;ä"), "{html}");
    assert!(
        html.contains("href=\"https://mon.example/db1/Disk%20%2F\""),
        "{html}"
    );
    let header = |at: usize, name: &str| {
        parsed[at]
            .header_raw(name)
            .map(str::trim)
            .map(str::to_owned)
    };
    assert_eq!(
        header(0, "Auto-Submitted").as_deref(),
        Some("auto-generated")
    );
    assert!(header(0, "References").is_some());
    assert_eq!(
        header(0, "References"),
        header(1, "References"),
        "one thread"
    );
    assert_ne!(header(0, "Message-ID"), header(1, "Message-ID"));
}

#[test]
fn without_to_the_notifications_own_contact_is_told() {
    let sink = Sink::start(always("250 ok"), always("250 ok"));
    let site = Site::new("central", &lane(&sink.address, ""));
    let _daemon = site.start();
    site.outcome(CONTEXT);
    assert_eq!(sink.taken()[0].recipients, ["joe@example.com"]);
    let said = site.outcome(&[("HOSTNAME", "x")]);
    assert!(
        said[0].starts_with("permanent failure: nobody to send it to"),
        "{said:?}"
    );
}

#[test]
fn a_server_that_is_away_is_tried_again() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    for address in [&*address, "no-such-host.invalid:25"] {
        let more = format!("{THREE}\nencryption = 'none'");
        let site = Site::new("central", &lane(address, &more));
        let _daemon = site.start();
        let id = site.submit(CONTEXT);
        wait_until("two attempts were made", || {
            let history = site.history(id);
            history
                .iter()
                .any(|word| word.starts_with("result 2 temporary"))
        });
    }
}

/// A listener that takes no connection any more, and those that it has taken.
fn deaf() -> (OwnedFd, Vec<TcpStream>, String) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&listener, 0).unwrap();
    let address = SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    let taken = std::iter::from_fn(connect).collect();
    (listener, taken, address.to_string())
}

#[test]
fn a_server_that_does_not_answer_is_given_up_and_tried_again() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_deaf, _taken, deaf) = deaf();
    let silent_at = silent.local_addr().unwrap().to_string();
    for (name, address) in [("takes no connection", deaf), ("says nothing", silent_at)] {
        let more = format!("{THREE}\ntimeout = '300ms'\nexpire = '1s'");
        let site = Site::new("central", &lane(&address, &more));
        let _daemon = site.start();
        let said = site.outcome(CONTEXT);
        let (end, attempts) = said.split_last().unwrap();
        assert_eq!(end, "ended expired", "{name}: {said:?}");
        assert!(!attempts.is_empty(), "{name}");
        let want = format!("temporary failure: {address}: no answer in time");
        assert!(
            attempts.iter().all(|said| *said == want),
            "{name}: {said:?}"
        );
    }
}

#[test]
fn a_server_without_starttls_gets_nothing() {
    let sink = Sink::start(always("250 ok"), always("250 ok"));
    let more = format!("{THREE}\nencryption = 'starttls'");
    let site = Site::new("central", &lane(&sink.address, &more));
    let _daemon = site.start();
    let id = site.submit(CONTEXT);
    wait_until("an attempt was made", || {
        let history = site.history(id);
        history
            .iter()
            .any(|word| word.starts_with("result 1 temporary"))
    });
    assert!(sink.taken().is_empty());
}
