//! Programs that people already have, at the sockets of a `livestatusd`: each
//! asks in its own way and must get the right answers. What drives a client
//! lies in `tests/fixtures/clients` and prints as JSON what the client made of
//! the answers; here is what is true.

mod nagstamon;
mod nagvis;
mod perl;
mod python;
mod site;
mod tls;
mod tools;

use std::ffi::OsStr;
use std::path::PathBuf;

use harness::Program;
use harness::program::repository;
use serde_json::Value;

/// A file that drives a client.
fn driver(name: &str) -> PathBuf {
    repository().join("tests/fixtures/clients").join(name)
}

/// A foreign client that does not wait for ever where an answer does not come.
fn client(program: impl AsRef<OsStr>, label: &str) -> Program {
    Program::foreign("timeout", label).arg("60").arg(program)
}

/// Runs a driver to its end and returns what it printed.
#[track_caller]
fn report(client: Program) -> Value {
    let outcome = client.run().success();
    serde_json::from_slice(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{error} in {:?}\n{}", outcome.text(), outcome.errors()))
}
