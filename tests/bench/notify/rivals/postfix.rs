//! Postfix to Postfix: one relays to the other, which keeps what it has taken in its
//! queue. Both sync each mail before they say that they have it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::{Program, Running, ports, wait_for};

use super::Outcome;
use crate::notify::submit::SIZE;

const COUNT: usize = 2000;
const CONNECTIONS: usize = 20;
const DAEMONS: &str = "/usr/lib/postfix/sbin";

const MASTER: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
relay unix - - n - - smtp
error unix - - n - - error
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
";

pub(super) fn measure(directory: &Path) -> Outcome {
    if !harness::peer::is_root() {
        return Err("its master(8) and its queue need root".into());
    }
    let (entrance, exit) = (ports::free(), ports::free());
    // What is on hold stays in the queue, and nobody works on it.
    let keeps = "smtpd_recipient_restrictions = check_recipient_access static:HOLD, permit_mynetworks, reject\n";
    let passes_on = format!(
        "smtpd_recipient_restrictions = permit_mynetworks, reject\nrelay_transport = relay:[127.0.0.1]:{exit}\n"
    );
    let receiver = directory.join("receiver");
    let _receiver = start(&receiver, exit, keeps);
    let _sender = start(&directory.join("sender"), entrance, &passes_on);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(move || submit(entrance, COUNT / CONNECTIONS));
        }
    });
    let taken = began.elapsed().as_secs_f64();
    let held = || std::fs::read_dir(receiver.join("spool/hold")).map_or(0, Iterator::count);
    while held() < COUNT {
        if began.elapsed() > Duration::from_secs(120) {
            return Err(format!("{} of {COUNT} after 120 s", held()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let rate = COUNT as f64 / began.elapsed().as_secs_f64();
    Ok((
        rate,
        format!(
            "{COUNT} of 2 KiB over SMTP by {CONNECTIONS} connections, queue to queue; each mail a file that is synced; the first alone {:.0}/s",
            COUNT as f64 / taken
        ),
    ))
}

fn start(at: &Path, port: u16, more: &str) -> Running {
    let configuration: PathBuf = at.join("etc");
    for directory in ["etc", "spool", "data"] {
        std::fs::create_dir_all(at.join(directory)).expect("own directory");
    }
    harness::peer::give(&at.join("data"), "postfix:");
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {at}/spool\ndata_directory = {at}/data\n\
         command_directory = /usr/sbin\ndaemon_directory = {DAEMONS}\nmail_owner = postfix\n\
         setgid_group = postdrop\nmyhostname = mail.example.org\nmydestination =\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
         alias_maps =\nalias_database =\nrelay_domains = example.net\n\
         smtp_tls_security_level = none\nmaillog_file = /dev/stdout\n{more}",
        at = at.display()
    );
    std::fs::write(configuration.join("main.cf"), main).expect("own directory");
    let entrance = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    std::fs::write(configuration.join("master.cf"), entrance + MASTER).expect("own directory");
    let check = Program::foreign("postfix", "postfix").arg("-c");
    check.arg(&configuration).arg("check").run().success();
    let master = Program::foreign(format!("{DAEMONS}/master"), "postfix")
        .arg("-c")
        .arg(&configuration)
        .arg("-d")
        .with_family()
        .start();
    wait_for("Postfix listens", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    master
}

fn submit(port: u16, count: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it answered before");
    let mut answers = BufReader::new(stream.try_clone().expect("a second descriptor"));
    let mut answer = move |wanted: &str| {
        let mut line = String::new();
        answers.read_line(&mut line).expect("it answers");
        assert!(line.starts_with(wanted), "{line}");
    };
    answer("220 ");
    stream.write_all(b"HELO bench\r\n").expect("it listens");
    answer("250 ");
    let fill = format!("{}\r\n", "x".repeat(98)).repeat(SIZE / 100);
    let mail = format!("Subject: bench\r\n\r\n{fill}.\r\n");
    for _ in 0..count {
        for (line, wanted) in [
            ("MAIL FROM:<a@example.org>\r\n", "250 "),
            ("RCPT TO:<b@example.net>\r\n", "250 "),
            ("DATA\r\n", "354 "),
            (&mail, "250 "),
        ] {
            stream.write_all(line.as_bytes()).expect("it listens");
            answer(wanted);
        }
    }
}
