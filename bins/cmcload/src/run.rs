//! Finds out what the dump is, and takes it in.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use livestatus::dump::Layout;
use program::{Address, Failure, Status};
use transfer::Kind;

use crate::cli::Args;
use crate::{configuration, input, state};

/// Longest map of fields, in bytes.
const MAX_MAP: u64 = 1 << 16;

/// Does what the command line says.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let mut input = input::open(args)?;
    let kind = match input.reader.fill_buf() {
        Ok(head) => input::kind(head),
        Err(error) => return Err(Failure::caused(Status::Failed, input.name, error)),
    };
    match kind {
        Kind::State => state::import(args, input),
        Kind::Configuration => configuration::import(args, input),
    }
}

/// Where states go.
pub(crate) fn socket(args: &Args) -> Result<Address, Failure> {
    match (&args.socket, std::env::var_os("OMD_ROOT")) {
        (Some(address), _) => Ok(address.clone()),
        (None, Some(root)) if !root.is_empty() => {
            Ok(Address::Unix(Path::new(&root).join("tmp/run/live")))
        }
        _ => Err(Failure::new(
            Status::Usage,
            "who takes the states? Give the socket with --socket, or set OMD_ROOT",
        )),
    }
}

/// How states are laid out there.
pub(crate) fn layout(args: &Args) -> Result<Layout, Failure> {
    let Some(path) = &args.reading.field_map else {
        return Ok(Layout::default());
    };
    let name = || path.display().to_string();
    let failed = |error| Failure::caused(Status::Failed, name(), error);
    let mut map = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_MAP + 1)
        .read_to_end(&mut map)
        .map_err(failed)?;
    Layout::parse(&map).map_err(|error| Failure::caused(Status::Failed, name(), error))
}
