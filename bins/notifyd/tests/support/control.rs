//! What people say to a running notifyd, and what it says of its lanes.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use spool::control::{Answer, Hand, Question};

use super::Site;

/// Asks notifyd over its control socket.
pub(crate) fn ask(site: &Site, question: &Question) -> Answer {
    let mut stream = UnixStream::connect(site.path("spool/control")).unwrap();
    stream
        .write_all((question.print() + "\n").as_bytes())
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    Answer::parse(line.trim_end().as_bytes()).expect(&line)
}

/// Who does it, and why.
pub(crate) fn hand() -> Hand {
    Hand {
        by: "ann".to_owned(),
        why: "a test".to_owned(),
    }
}

/// To pause delivery, by one lane or all.
pub(crate) fn pause(lane: Option<&str>, secs: Option<f64>) -> Question {
    Question::Pause {
        lane: lane.map(str::to_owned),
        length: secs.map(std::time::Duration::from_secs_f64),
        hand: hand(),
    }
}

/// What the state file says of a lane.
pub(crate) fn lane(site: &Site, name: &str) -> serde_json::Value {
    let state = site.state();
    let lanes = state["lanes"].as_array().cloned().unwrap_or_default();
    let found = lanes.into_iter().find(|lane| lane["name"] == name);
    found.unwrap_or_default()
}
