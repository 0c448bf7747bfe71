//! A document as configuration: the host and its services.

use bstr::{BStr, ByteSlice};
use nagios::object;
use nagios::shadow::Printer;
use objects::{DumpBegin, DumpContent, DumpMode, Host};
use program::{Failure, Status};

use crate::cli::{Discover, Format};
use crate::run::{now, print};
use crate::source;

pub(crate) fn run(args: &Discover) -> Result<Status, Failure> {
    let found = source::find(&args.source)?;
    let mut host = agent::discover_for(&found.document, &found.rules());
    let address = args.address.as_deref().or(found.address.as_deref());
    host.address = address.unwrap_or("127.0.0.1").into();
    let name = found.host_name.as_bstr();
    print(&match args.format {
        Format::Mk => mk(args, name, &host)?,
        Format::Nagios => {
            let illegal = &args.illegal_characters;
            definitions(name, &host, found.document.check_interval(), illegal)
        }
    })
}

fn mk(args: &Discover, name: &BStr, host: &Host) -> Result<Vec<u8>, Failure> {
    let time = now();
    let begin = DumpBegin {
        site: args.site.clone(),
        content: DumpContent::Configuration,
        epoch: 0,
        sequence: u64::try_from(time.micros()).unwrap_or(0),
        mode: DumpMode::Full,
        time,
        config_hash: None,
    };
    let mut text = Vec::new();
    Printer::new(&mut text, &begin)
        .and_then(|mut printer| {
            printer.host(name, host)?;
            printer.finish()
        })
        .map_err(|error| Failure::caused(Status::Failed, "cannot print the host", error))?;
    Ok(text)
}

/// Objects that are checked passively; the freshness check of the core says so
/// if agentpoll itself has gone silent.
fn definitions(name: &BStr, host: &Host, interval: u64, illegal: &str) -> Vec<u8> {
    let name = object::legal_name(name, illegal);
    let threshold = (interval.max(60) * 6).to_string();
    let mut text = COMMAND.as_bytes().to_vec();
    let common: [(&[u8], &[u8]); 6] = [
        (b"check_command", b"agentpoll-silent"),
        (b"max_check_attempts", b"1"),
        (b"active_checks_enabled", b"0"),
        (b"passive_checks_enabled", b"1"),
        (b"check_freshness", b"1"),
        (b"freshness_threshold", threshold.as_bytes()),
    ];
    let named: [(&[u8], &[u8]); 3] = [
        (b"host_name", &name),
        (b"address", &host.address),
        (b"notes", &host.notes),
    ];
    object::print("host", named.into_iter().chain(common), &mut text);
    for description in host.services.keys() {
        let description = object::legal_name(description, illegal);
        let named: [(&[u8], &[u8]); 2] = [
            (b"host_name", &name),
            (b"service_description", &description),
        ];
        object::print("service", named.into_iter().chain(common), &mut text);
    }
    text
}

/// What is run when nothing comes any more.
const COMMAND: &str = "\
# The command is needed once, not for every host:
# define command {
#   command_name       agentpoll-silent
#   command_line       /bin/sh -c 'echo \"UNKNOWN - nothing from agentpoll\"; exit 3'
# }

";
