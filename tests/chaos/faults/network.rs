//! Faults of the network and of peers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use harness::judge::footprint;
use rustix::process::Signal;

use crate::dice::Dice;
use crate::field::{Field, Plan};
use crate::problem::{Problem, require, sh};

use super::{sleep, submit_to, wait};

/// Two network namespaces with a wire between them, removed on drop.
struct Wire {
    a: String,
    b: String,
}

/// Where the second one is.
const HOST: &str = "10.99.7.2";

impl Wire {
    fn new() -> Result<Self, Problem> {
        if !harness::peer::is_root() {
            return Err(Problem::Skipped(
                "not root, cannot make a network".to_owned(),
            ));
        }
        let number = std::process::id() % 10_000;
        let wire = Self {
            a: format!("swa{number}"),
            b: format!("swb{number}"),
        };
        let (a, b) = (&wire.a, &wire.b);
        sh(&format!(
            "ip netns add {a} && ip netns add {b} && \
             ip link add va{number} netns {a} type veth peer name vb{number} netns {b} && \
             ip -n {a} addr add 10.99.7.1/24 dev va{number} && ip -n {b} addr add {HOST}/24 dev vb{number} && \
             ip -n {a} link set va{number} up && ip -n {b} link set vb{number} up && \
             ip -n {a} link set lo up && ip -n {b} link set lo up"
        ))?;
        Ok(wire)
    }

    fn field(&self) -> Field {
        let enter = |name: &String| {
            let words = ["ip", "netns", "exec", name];
            words.map(str::to_owned).to_vec()
        };
        let mut field = Field::new(&Plan {
            prefix: vec![(0, enter(&self.a)), (1, enter(&self.b))],
            host: Some(HOST.to_owned()),
            ..Plan::default()
        });
        field.start();
        field
    }

    fn in_b(&self, command: &str) -> Result<String, Problem> {
        sh(&format!("ip netns exec {} {command}", self.b))
    }

    fn in_a(&self, command: &str) -> Result<String, Problem> {
        sh(&format!("ip netns exec {} {command}", self.a))
    }

    fn number(&self) -> &str {
        &self.a[3..]
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in [&self.a, &self.b] {
            let _ = sh(&format!("ip netns del {name}"));
        }
    }
}

fn is_up(field: &Field, number: usize) -> bool {
    let state = field.daemons[number].state();
    state.is_some_and(|state| state["peers"][0]["state"] == "established")
}

/// Nothing comes through in one direction, then in both, while notifications are
/// on their way: the link is dead within 30 s and a bit, and comes back.
pub(super) fn half_open() -> Result<String, Problem> {
    sh("command -v iptables ip")?;
    let wire = Wire::new()?;
    let mut field = wire.field();
    let submitters = submit_to(&field);
    wait("the link is up", 20, || is_up(&field, 0))?;
    let mut words = Vec::new();
    for (rules, what) in [
        ("iptables -I INPUT -p tcp -j DROP", "towards the peer"),
        ("iptables -I OUTPUT -p tcp -j DROP", "from the peer"),
        (
            "iptables -I INPUT -p tcp -j DROP; ip netns exec {b} iptables -I OUTPUT -p tcp -j DROP",
            "both ways",
        ),
    ] {
        sleep(1.0);
        wire.in_b(&rules.replace("{b}", &wire.b))?;
        let took = wait("the link is found dead", 40, || !is_up(&field, 0))?;
        wire.in_b("iptables -F")?;
        let back = wait("the link is back", 75, || is_up(&field, 0))?;
        words.push(format!(
            "{what}: dead after {:.0} s, back after {:.0} s",
            took.as_secs_f64(),
            back.as_secs_f64()
        ));
    }
    let promises = submitters.finish();
    words.push(field.finish(&promises)?);
    Ok(words.join("; "))
}

/// Reset, refused, a wire that comes and goes, lost packets, a thin line.
pub(super) fn broken() -> Result<String, Problem> {
    sh("command -v iptables tc ip")?;
    let wire = Wire::new()?;
    let mut field = wire.field();
    let submitters = submit_to(&field);
    wait("the link is up", 20, || is_up(&field, 0))?;
    let number = wire.number().to_owned();
    sleep(1.0);
    wire.in_b("iptables -I INPUT -p tcp -j REJECT --reject-with tcp-reset")?;
    sleep(3.0);
    wire.in_b("iptables -F")?;
    for _ in 0..4 {
        sh(&format!("ip -n {} link set vb{number} down", wire.b))?;
        sleep(0.5);
        sh(&format!("ip -n {} link set vb{number} up", wire.b))?;
        sleep(1.0);
    }
    wire.in_b("iptables -I INPUT -p tcp -m statistic --mode random --probability 0.2 -j DROP")?;
    sleep(6.0);
    wire.in_b("iptables -F")?;
    wire.in_a(&format!(
        "tc qdisc add dev va{number} root tbf rate 1mbit burst 16k latency 50ms"
    ))?;
    sleep(4.0);
    wire.in_a(&format!("tc qdisc del dev va{number} root"))?;
    let promises = submitters.finish();
    field
        .wait_until_empty(Duration::from_secs(90))
        .map_err(Problem::Wrong)?;
    field.finish(&promises)
}

/// The receiver does not move: the sender stays small, finds the link dead, and
/// goes on when the receiver moves again.
pub(super) fn frozen() -> Result<String, Problem> {
    let mut field = Field::new(&Plan::default());
    field.start();
    wait("the link is up", 20, || is_up(&field, 0))?;
    let submitters = submit_to(&field);
    sleep(2.0);
    let (_, before) = footprint(field.daemons[0].pid());
    field.daemons[1].signal(Signal::STOP);
    let took = wait("the link is found dead", 45, || !is_up(&field, 0))?;
    let (_, after) = footprint(field.daemons[0].pid());
    field.daemons[1].signal(Signal::CONT);
    require(
        after < before + 32 * 1024,
        &format!("the sender grew from {before} to {after} KiB"),
    )?;
    let promises = submitters.finish();
    field
        .wait_until_empty(Duration::from_secs(90))
        .map_err(Problem::Wrong)?;
    let words = field.finish(&promises)?;
    Ok(format!(
        "{words}; dead after {:.0} s, {before} KiB before and {after} KiB after",
        took.as_secs_f64()
    ))
}

/// Strangers of all sorts on the port, while a peer is served.
pub(super) fn garbage() -> Result<String, Problem> {
    let mut field = Field::new(&Plan::default());
    field.start();
    wait("the link is up", 20, || is_up(&field, 0))?;
    let submitters = submit_to(&field);
    sleep(1.0);
    let (descriptors, before) = footprint(field.daemons[1].pid());
    let port = field.listening[1];
    let mut dice = Dice::new(12);
    let random: Vec<u8> = (0..100_000).map(|_| dice.below(256) as u8).collect();
    let preface = b"SITEWIRE-NOTIFY\n";
    let huge = [&preface[..], &[0xff; 64]].concat();
    let nothing = [&preface[..], &[0; 64]].concat();
    let tls = [&[0x16, 3, 1, 2, 0][..], &random[..512]].concat();
    let strangers: [&[u8]; 7] = [
        b"GET / HTTP/1.0\r\n\r\n",
        &random,
        preface,
        &huge,
        &nothing,
        &tls,
        b"",
    ];
    let mut silent = Vec::new();
    for round in 0..40 {
        for bytes in strangers {
            // It is closed whenever it likes.
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                let _ = stream.write_all(&bytes[..bytes.len().min(1 << (round % 18))]);
                let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
                let _ = stream.read(&mut [0; 16]);
            }
        }
        silent.extend(TcpStream::connect(("127.0.0.1", port)));
    }
    require(is_up(&field, 0), "the peer's link broke")?;
    drop(silent);
    wait("descriptors are given back", 30, || {
        footprint(field.daemons[1].pid()).0 <= descriptors + 2
    })?;
    let (_, after) = footprint(field.daemons[1].pid());
    require(
        after < before + 64 * 1024,
        &format!("memory grew from {before} to {after} KiB"),
    )?;
    let promises = submitters.finish();
    field.finish(&promises)
}
