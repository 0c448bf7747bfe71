//! Finds the server and the site, and dumps what was asked for.

use std::io::Write;
use std::time::SystemTime;

use objects::{DumpBegin, DumpContent, DumpMode, UnixTime};
use program::{Failure, Status};
use source::{Limits, Source, default_socket};
use transfer::signature::{Form, Signer};
use transfer::{Output, hash};

use crate::cli::Args;
use crate::{configuration, headers, state};

/// Does what the command line says.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let signer = signer(args)?;
    let mut out = Output::new(args.output.as_deref(), signer.is_some())?;
    match dump(args, signer.as_ref(), &mut out) {
        Ok(Written::Dump) => out.commit().map(|()| Status::Done),
        Ok(Written::Nothing) => Ok(Status::Done),
        Err(failure) => {
            // Records that are whole are of use without those that follow.
            let _ = out.flush();
            // Whether any record has left decides what trying again means.
            let is_whole = !out.has_begun();
            Err(match failure.status() {
                Status::Incomplete if is_whole => {
                    Failure::caused(Status::TryAgain, "nothing was dumped", failure)
                }
                _ => failure,
            })
        }
    }
}

/// Whether there is anything to hand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Dump,
    Nothing,
}

fn dump(args: &Args, signer: Option<&Signer>, out: &mut Output) -> Result<Written, Failure> {
    let time = UnixTime::from(SystemTime::now());
    let queries = headers::read(&args.choice)?;
    let config_hash = args.states.config_hash.as_deref().map(hash).transpose()?;
    let address = match &args.socket {
        Some(address) => address.clone(),
        None => default_socket()?,
    };
    let limits = Limits {
        connect: args.dump.connect_timeout,
        first_byte: args.dump.timeout,
        idle: args.dump.idle_timeout,
    };
    let mut source = Source::detect(address, limits)?;
    source.show_queries(args.debug);
    let mut scope = source::choose(args.site.as_ref(), &source)?;
    if let Some(signer) = signer.filter(|signer| *signer.site() != scope.site) {
        let what = format!(
            "the certificate is that of site {}, and this is a dump of {}",
            signer.site(),
            scope.site
        );
        return Err(Failure::new(Status::Usage, what));
    }
    queries.into_iter().for_each(|query| scope.narrow(query));
    let begin = DumpBegin {
        site: scope.site.clone(),
        content: if args.config {
            DumpContent::Configuration
        } else {
            DumpContent::State
        },
        epoch: args.dump.epoch,
        sequence: u64::try_from(time.micros()).unwrap_or(0),
        mode: DumpMode::Full,
        time,
        config_hash,
    };
    let written = if args.config {
        configuration::dump(args, &source, &scope, &begin, out)?
    } else {
        state::dump(args, &source, &scope, &begin, out)?;
        Written::Dump
    };
    if let (Some(signer), Written::Dump) = (signer, written) {
        out.sign(signer, Form::Comment, time)?;
    }
    Ok(written)
}

fn signer(args: &Args) -> Result<Option<Signer>, Failure> {
    let (Some(certificate), Some(key)) = (&args.dump.sign_certificate, &args.dump.sign_key) else {
        return Ok(None);
    };
    Signer::load(certificate, key)
        .map(Some)
        .map_err(|error| Failure::caused(Status::Failed, "cannot sign", error))
}

/// The line that the original writes first with `-M`.
pub(crate) fn mode_line(args: &Args, begin: &DumpBegin) -> String {
    match (args.mark_mode, begin.content) {
        (false, _) => String::new(),
        (true, DumpContent::State) => "status\n".to_owned(),
        (true, DumpContent::Configuration) => format!("config {}\n", begin.site),
    }
}
