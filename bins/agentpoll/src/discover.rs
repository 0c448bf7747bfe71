//! A document as configuration: the host and its services.

use bstr::ByteSlice;
use nagios::shadow::Printer;
use objects::{DumpBegin, DumpContent, DumpMode};
use program::{Failure, Status};

use crate::cli::Discover;
use crate::run::{host_name, now, print, read_document};

pub(crate) fn run(args: &Discover) -> Result<Status, Failure> {
    let document = read_document(&args.file)?;
    let mut host = agent::discover(&document);
    host.address = args.address.as_str().into();
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
            printer.host(host_name(args.host.as_deref()).as_bstr(), &host)?;
            printer.finish()
        })
        .map_err(|error| Failure::caused(Status::Failed, "cannot print the host", error))?;
    print(&text)
}
