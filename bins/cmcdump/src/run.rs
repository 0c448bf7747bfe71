//! Finds the server and the site, and dumps what was asked for.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use livestatus::dump::Layout;
use objects::{DumpBegin, DumpContent, DumpMode, UnixTime};
use program::{Address, Failure, Status};
use source::{Limits, Source, default_socket};
use transfer::signature::{Form, Signer};
use transfer::{Output, hash, output};

use crate::cli::Args;
use crate::dump::Dump;
use crate::since::Since;
use crate::{configuration, since, state};

/// Longest answer of a central site, in bytes.
const MAX_ANSWER: u64 = 1 << 16;
/// Longest map of fields, in bytes.
const MAX_MAP: u64 = 1 << 16;

/// Does what the command line says.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    if let (true, Some(path)) = (args.confirm, &args.since_file) {
        return confirm(path);
    }
    let address = match &args.socket {
        Some(address) => address.clone(),
        None => default_socket()?,
    };
    let inputs = Inputs::read(args)?;
    let mut out = Output::new(None, inputs.signer.is_some())?;
    let result = dump(args, address, &inputs, &mut out);
    // Records that are whole are of use without those that follow, so they are
    // handed on; whether any were decides what trying again means.
    let flushed = out.flush().map_err(|error| out.failure(error));
    match result {
        Ok(()) => flushed.map(|()| Status::Done),
        Err(failure) if failure.status() == Status::Incomplete && !out.has_begun() => Err(
            Failure::caused(Status::TryAgain, "nothing was dumped", failure),
        ),
        Err(failure) => Err(failure),
    }
}

/// The files that the command line names.
struct Inputs {
    config_hash: Option<String>,
    layout: Layout,
    signer: Option<Signer>,
}

impl Inputs {
    fn read(args: &Args) -> Result<Self, Failure> {
        let layout = match &args.field_map {
            None => Layout::default(),
            Some(path) => read_map(path)?,
        };
        if args.since_file.is_some() && !layout.has_frame() {
            let what = "--since-file needs a frame, which the map does without";
            return Err(Failure::new(Status::Usage, what));
        }
        let signer = match (&args.sign_certificate, &args.sign_key) {
            (Some(certificate), Some(key)) => {
                let signer = Signer::load(certificate, key);
                let bad = |error| Failure::caused(Status::Failed, "cannot sign", error);
                Some(signer.map_err(bad)?)
            }
            _ => None,
        };
        Ok(Self {
            config_hash: args.config_hash.as_deref().map(hash).transpose()?,
            layout,
            signer,
        })
    }
}

fn dump(args: &Args, address: Address, inputs: &Inputs, out: &mut Output) -> Result<(), Failure> {
    let time = UnixTime::from(SystemTime::now());
    let limits = Limits {
        connect: args.connect_timeout,
        first_byte: args.timeout,
        idle: args.idle_timeout,
    };
    let source = Source::detect(address, limits)?;
    let scope = source::choose(args.site.as_ref(), &source)?;
    if let Some(signer) = inputs.signer.as_ref().filter(|s| *s.site() != scope.site) {
        let what = format!(
            "the certificate is that of site {}, and this is a dump of {}",
            signer.site(),
            scope.site
        );
        return Err(Failure::new(Status::Usage, what));
    }
    let since = match &args.since_file {
        None => None,
        Some(path) => {
            let since = Since::open(path, &scope.site, args.epoch, args.full_every)?;
            Some(since)
        }
    };
    let configuration = args.config || args.what.is_some();
    let begin = DumpBegin {
        site: scope.site.clone(),
        content: if configuration {
            DumpContent::Configuration
        } else {
            DumpContent::State
        },
        epoch: args.epoch,
        sequence: u64::try_from(time.micros()).unwrap_or(0),
        mode: since.as_ref().map_or(DumpMode::Full, Since::mode),
        time,
        config_hash: inputs.config_hash.clone(),
    };
    let form = if configuration {
        configuration::dump(&source, &scope, &begin, out)?;
        Form::Comment
    } else {
        let dump = Dump::new(&begin, inputs.layout.clone(), since, out);
        state::dump(&source, &scope, dump)?;
        Form::Command
    };
    match &inputs.signer {
        Some(signer) => out.sign(signer, form, time),
        None => Ok(()),
    }
}

/// Hands the central site's answer on, and believes it.
fn confirm(path: &Path) -> Result<Status, Failure> {
    let mut answer = Vec::new();
    let read = io::stdin().take(MAX_ANSWER).read_to_end(&mut answer);
    read.map_err(|error| Failure::caused(Status::Failed, "cannot read standard input", error))?;
    io::stdout().write_all(&answer).map_err(output::failure)?;
    if answer.starts_with(b"taken ") {
        since::confirm(path)?;
        return Ok(Status::Done);
    }
    let status = if answer.starts_with(b"incomplete") {
        Status::Incomplete
    } else {
        Status::Failed
    };
    Err(Failure::new(
        status,
        "the central site did not say that it has taken the dump: the next one is a full one",
    ))
}

fn read_map(path: &Path) -> Result<Layout, Failure> {
    let failed = |error| Failure::caused(Status::Failed, path.display().to_string(), error);
    let mut map = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_MAP).read_to_end(&mut map).map_err(failed)?;
    Layout::parse(&map)
        .map_err(|error| Failure::caused(Status::Failed, path.display().to_string(), error))
}
