//! What one might try who holds something of one site: hundreds of requests,
//! commands, dumps and noises.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::sites::{
    HOSTS, SERVICES, TIME, begin, dump, framed, host_record, line, service_record, states, text,
};

/// Something that should do nothing to b.
pub(super) struct Attempt {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Collects attempts, numbering the dumps among them upwards, so that none is
/// refused only for its age.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) all: Vec<Attempt>,
    sequence: u64,
}

impl Attempts {
    fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.all.push(Attempt {
            name: name.into(),
            bytes: bytes.into(),
        });
    }

    pub(super) fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence + 1000
    }

    pub(super) fn queries(&mut self) {
        for table in [
            "hosts",
            "services",
            "hostgroups",
            "servicegroups",
            "hostsbygroup",
            "servicesbygroup",
            "servicesbyhostgroup",
            "comments",
            "downtimes",
            "log",
            "status",
            "sites",
            "columns",
            "contacts",
            "contactgroups",
            "commands",
            "timeperiods",
            "statehist",
        ] {
            for headers in [
                "",
                "ResponseHeader: fixed16\n",
                "ResponseHeader: fixed16\nKeepAlive: on\n",
                "Filter: site = b\nOutputFormat: json\nAuthUser: b\n",
            ] {
                let query = format!("GET {table}\n{headers}\n");
                self.add(query.clone(), query);
            }
        }
    }

    pub(super) fn commands(&mut self) {
        let object = [HOSTS[1], SERVICES[2]];
        let [host, service] = object;
        for text in [
            format!("PROCESS_HOST_CHECK_RESULT;{host};1;taken over"),
            format!("PROCESS_SERVICE_CHECK_RESULT;{host};{service};0;taken over"),
            format!("PROCESS_SERVICE_CHECK_RESULT;b/{host};{service};0;taken over"),
            format!("ACKNOWLEDGE_HOST_PROBLEM;{host};2;1;1;me;x"),
            format!("ACKNOWLEDGE_SVC_PROBLEM;{host};{service};2;1;1;me;x"),
            format!("REMOVE_HOST_ACKNOWLEDGEMENT;{host}"),
            format!("REMOVE_SVC_ACKNOWLEDGEMENT;{host};Disk /"),
            format!("ADD_HOST_COMMENT;{host};1;me;x"),
            format!("ADD_SVC_COMMENT;{host};{service};1;me;x"),
            "DEL_HOST_COMMENT;1".to_owned(),
            "DEL_SVC_COMMENT;2".to_owned(),
            format!("DEL_ALL_HOST_COMMENTS;{host}"),
            format!("DEL_ALL_SVC_COMMENTS;{host};{service}"),
            format!("SCHEDULE_HOST_DOWNTIME;{host};1;4000000000;1;0;0;me;x"),
            format!("SCHEDULE_SVC_DOWNTIME;{host};{service};1;4000000000;1;0;0;me;x"),
            format!("SCHEDULE_HOST_SVC_DOWNTIME;{host};1;4000000000;1;0;0;me;x"),
            "DEL_HOST_DOWNTIME;1".to_owned(),
            "DEL_SVC_DOWNTIME;2".to_owned(),
            format!("DEL_DOWNTIME_BY_HOST_NAME;{host}"),
            "PROCESS_FILE;/etc/passwd;0".to_owned(),
            "LOG;b was here".to_owned(),
            "SITEWIRE_FORGET_ORDER;b".to_owned(),
            "SHUTDOWN_PROGRAM".to_owned(),
            "RESTART_PROGRAM".to_owned(),
            "SAVE_STATE_INFORMATION".to_owned(),
            "ROTATE_LOG".to_owned(),
            "DISABLE_NOTIFICATIONS".to_owned(),
            "STOP_EXECUTING_SVC_CHECKS".to_owned(),
            format!("DISABLE_HOST_CHECK;{host}"),
            format!("SCHEDULE_FORCED_SVC_CHECK;{host};{service};1"),
            format!("CHANGE_CUSTOM_HOST_VAR;{host};_SITE;b"),
            format!("CHANGE_HOST_CHECK_COMMAND;{host};sh -c id"),
            format!("SEND_CUSTOM_HOST_NOTIFICATION;{host};1;me;x"),
        ] {
            self.add(text.clone(), line(&text));
            let name = format!("{text} in a dump that claims b");
            let sequence = self.next();
            self.add(name, framed("b", 1, sequence, &[line(&text)]));
        }
    }

    pub(super) fn claims(&mut self) {
        for site in [
            "b",
            "B",
            "../b",
            "b/",
            "/b",
            "b/localhost",
            "site=b",
            "a/../b",
            "b;x",
            "b\\sx",
            "b\\nx",
            "b\0",
            "b\r",
            "b\u{202e}",
            "*",
            "",
            "a\nb",
            "a b",
            "a claimed=b",
        ] {
            let sequence = self.next();
            let bytes = dump(site, 1, sequence, 3, "claimed");
            self.add(format!("a dump of {site:?}"), bytes);
        }
        let long = "b".repeat(70_000);
        self.add("a long site name", dump(&long, 1, 5000, 3, "claimed"));
        for (base, content) in [
            ("1", "state"),
            ("", "state"),
            ("0", "config"),
            ("x", "state"),
        ] {
            for site in ["a", "b"] {
                let begin = format!(
                    "SITEWIRE_BEGIN;1;{site};{content};{};;1;delta;{base};{TIME}",
                    self.next()
                );
                let bytes = [line(&begin), states(3, "delta").concat()].concat();
                self.add(begin, bytes);
            }
        }
    }

    pub(super) fn names(&mut self) {
        for name in [
            "b;localhost",
            "b\\slocalhost",
            "b/localhost",
            "../b",
            "../b/localhost",
            "site=b",
            "localhost\\s",
            "localhost\\nb",
            "b\nlocalhost",
            "localhost\0",
            "\0",
            "b\0localhost",
            "b\r\nlocalhost",
            "localhost site=b",
            "b:localhost",
            "",
            "..",
            "/",
            "# site b newest=9/9",
        ] {
            for (kind, record) in [
                ("host", host_record(name, 1, "renamed")),
                ("service", service_record(name, "Ping", 3, "renamed")),
            ] {
                let sequence = self.next();
                let bytes = framed("a", 1, sequence, &[record]);
                self.add(format!("a state of {kind} {name:?}"), bytes);
            }
        }
        // Texts that would say something of b, were they written to a file as they are.
        for output in [
            "x\\n# site b newest=18446744073709551615/9 complete=9/9",
            "x\\n# comment 9;passive;;b",
            "x\\r\\nsite=b",
            "x\0\\n# end 00000000",
        ] {
            let sequence = self.next();
            let bytes = dump("b", 1, sequence, 2, output);
            self.add(format!("the output {output:?}"), bytes);
        }
    }

    pub(super) fn streams(&mut self) {
        let query = b"GET services\nFilter: site = b\nResponseHeader: fixed16\n\n".as_slice();
        let acknowledge = line("ACKNOWLEDGE_SVC_PROBLEM;passive;Ping;2;1;1;me;x");
        for site in ["a", "b"] {
            let mut new = |site| {
                let sequence = self.next();
                dump(site, 1, sequence, 3, "first")
            };
            let first = new("a");
            let streams = [
                ("a dump, then another", [first, new(site)].concat()),
                (
                    "a dump, then a query",
                    [new(site).as_slice(), query].concat(),
                ),
                ("a query, then a dump", [query, &new(site)].concat()),
                (
                    "a dump, then a command",
                    [new(site), acknowledge.clone()].concat(),
                ),
                (
                    "a dump, a query, a dump",
                    [&new("a"), query, &new(site)].concat(),
                ),
            ];
            for (name, bytes) in streams {
                self.add(format!("{name} of {site}"), bytes);
            }
            for (name, middle) in [("a query", query), ("a command", &acknowledge)] {
                let sequence = self.next();
                let records = [middle.to_vec(), states(3, "inside").concat()];
                let bytes = framed(site, 1, sequence, &records);
                self.add(format!("{name} inside a dump of {site}"), bytes);
            }
            let (one, two) = (self.next(), self.next());
            let bytes = [begin("a", 1, one), dump(site, 1, two, 3, "nested")].concat();
            self.add(format!("a dump inside another, of {site}"), bytes);
        }
        for end in [
            "SITEWIRE_END;1;4;00000000",
            "SITEWIRE_END;1;18446744073709551615;ffffffff",
            "SITEWIRE_END;99999999999999999999999;1;x",
            "SITEWIRE_END;-1;-1;-1",
            "SITEWIRE_END",
            "SITEWIRE_END;b;b;b",
        ] {
            self.add(format!("{end} alone"), line(end));
            let sequence = self.next();
            let bytes = [
                begin("b", 1, sequence),
                states(3, "forged").concat(),
                line(end),
            ];
            self.add(format!("{end} after states"), bytes.concat());
        }
    }

    pub(super) fn garbage(&mut self) {
        let sequence = self.next();
        let good = dump("b", 1, sequence, 3, "half");
        for cut in (1..good.len() - 2).step_by(good.len() / 24) {
            self.add(format!("a dump cut at {cut}"), &good[..cut]);
        }
        for seed in 1..=16_u32 {
            let noise =
                (1..3000_u32).map(|n| (n * seed).wrapping_mul(2_654_435_761).to_be_bytes()[0]);
            let noise: Vec<u8> = noise.collect();
            let sequence = self.next();
            self.add(format!("noise {seed}"), noise.as_slice());
            let bytes = framed("b", 1, sequence, &[noise]);
            self.add(format!("noise {seed} in a dump"), bytes);
        }
        for (name, bytes) in [
            (
                "HTTP",
                b"GET /live.d/b HTTP/1.1\r\nHost: b\r\n\r\n".to_vec(),
            ),
            (
                "TLS",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            ),
            ("a line without end", vec![b'b'; 3 << 20]),
            ("NUL bytes", vec![0; 4096]),
            ("huge lengths", vec![0xff; 4096]),
            ("only line feeds", b"\n".repeat(1000)),
            ("half a query", b"GET serv".to_vec()),
            (
                "a query behind line feeds",
                b"\n\nGET services\n\n".to_vec(),
            ),
            ("a query behind a space", b" GET services\n\n".to_vec()),
            ("a small query", b"get services\n\n".to_vec()),
        ] {
            self.add(name, bytes);
        }
    }

    /// These must come last: afterwards everything else of a is old.
    pub(super) fn ages(&mut self) {
        for site in ["a", "b"] {
            for (epoch, sequence) in [
                (0, 0),
                (0, u64::MAX),
                (1, 1 << 40),
                (1, u64::MAX),
                (u64::MAX, 0),
                (u64::MAX, u64::MAX),
            ] {
                let name = format!("epoch {epoch}, sequence {sequence} of {site}");
                self.add(name, dump(site, epoch, sequence, 3, "aged"));
            }
        }
        let beyond = "SITEWIRE_BEGIN;1;b;state;18446744073709551616;;18446744073709551616;full;;1";
        self.add(beyond, line(beyond));
        let far = "SITEWIRE_BEGIN;1;b;state;18446744073709551615;;18446744073709551615;full;;99999999999999999999";
        self.add(far, line(far));
    }
}

/// Sends all of it and reads until the other side closes. Only the half-close
/// ends a stream of dumps, but a query must not wait for it.
pub(super) fn deliver(socket: &Path, attempt: &Attempt, half_close: bool) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    // It may be refused, and closed, before all is sent.
    let _ = stream.write_all(&attempt.bytes);
    if half_close {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let reset = error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(reset, "{}: {error} after {:?}", attempt.name, text(&answer));
    }
    answer
}

/// Every line is the answer to a dump, or a refusal.
#[track_caller]
pub(super) fn assert_harmless(name: &str, answer: &[u8], secret: &str) {
    let answer = text(answer);
    assert!(!answer.contains(secret), "{name}: {answer}");
    assert!(!answer.is_empty(), "{name}: no answer");
    for line in answer.lines() {
        let known = ["taken ", "incomplete: ", "refused: "];
        assert!(
            known.iter().any(|word| line.starts_with(word)),
            "{name}: {answer}"
        );
    }
}
