//! What is in certificates, requests and lists of revoked certificates, for
//! people and as JSON.

use std::io::{self, Write};
use std::path::Path;

use authority::{Certificate, Request, RevocationList, directory};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use objects::UnixTime;
use program::{Failure, Status};
use serde_json::{Value, json};

use crate::cli::Show;
use crate::run::{bad, failed, now};

/// Shows all files that can be shown, and fails if one could not.
pub(crate) fn run(args: &Show) -> Result<Status, Failure> {
    let mut out = io::stdout().lock();
    let mut status = Ok(Status::Done);
    for path in &args.files {
        match read(path) {
            Ok(parts) => {
                for part in parts {
                    let printed = match args.json {
                        true => writeln!(out, "{}", part.to_json(path)),
                        false => part.print(&mut out, path),
                    };
                    printed.map_err(|_| Failure::silent(Status::Failed))?;
                }
            }
            Err(failure) => {
                eprintln!("sitecert: {}", program::exit::chain(&failure));
                status = Err(Failure::silent(Status::Failed));
            }
        }
    }
    out.flush().map_err(|_| Failure::silent(Status::Failed))?;
    status
}

/// What a file may hold.
pub(crate) enum Part {
    Certificate(Box<Certificate>),
    Request(Request),
    List(RevocationList),
}

/// All parts of a file; at least one.
pub(crate) fn read(path: &Path) -> Result<Vec<Part>, Failure> {
    let text = directory::read(path).map_err(failed)?;
    let wrong = |what: String| bad(path, &what);
    if text.contains("-----BEGIN X509 CRL-----") {
        let list = RevocationList::from_pem(&text).map_err(wrong)?;
        return Ok(vec![Part::List(list)]);
    }
    if text.contains("CERTIFICATE REQUEST-----") {
        let request = Request::from_pem(&text).map_err(wrong)?;
        return Ok(vec![Part::Request(request)]);
    }
    let all = Certificate::all_in(&text).map_err(wrong)?;
    let part = |certificate| Part::Certificate(Box::new(certificate));
    Ok(all.into_iter().map(part).collect())
}

impl Part {
    fn print(&self, out: &mut impl Write, path: &Path) -> io::Result<()> {
        match self {
            Self::Certificate(shown) => certificate(out, path, shown),
            Self::Request(shown) => request(out, path, shown),
            Self::List(shown) => list(out, path, shown),
        }
    }

    fn to_json(&self, path: &Path) -> Value {
        let file = path.display().to_string();
        match self {
            Self::Certificate(shown) => {
                let mut value = certificate_json(shown);
                value["file"] = file.into();
                value
            }
            Self::Request(shown) => json!({
                "file": file,
                "site": shown.sites.first(),
                "subject": shown.subject,
                "names": shown.other_names,
                "key": shown.key,
                "pin": shown.pin.pin(),
            }),
            Self::List(shown) => json!({
                "file": file,
                "issuer": shown.issuer,
                "number": shown.number,
                "this_update": rfc_3339(shown.this_update),
                "next_update": shown.next_update.map(rfc_3339),
                "revoked": shown.revoked.keys().map(ToString::to_string).collect::<Vec<_>>(),
            }),
        }
    }
}

/// The members that both `show` and `list` print.
pub(crate) fn certificate_json(shown: &Certificate) -> Value {
    json!({
        "site": shown.sites.first(),
        "subject": shown.subject,
        "issuer": shown.issuer,
        "ca": shown.is_authority,
        "serial": shown.serial.to_string(),
        "key": shown.key,
        "not_before": rfc_3339(shown.not_before),
        "not_after": rfc_3339(shown.not_after),
        "left_s": left_s(shown.not_after),
        "sha256": shown.fingerprint.to_string(),
        "pin": shown.pin.pin(),
    })
}

/// Prints one certificate for people.
pub(crate) fn certificate(
    out: &mut impl Write,
    path: &Path,
    shown: &Certificate,
) -> io::Result<()> {
    let site = match &shown.sites[..] {
        [] if shown.is_authority => "none, an authority".to_owned(),
        [] => "none".to_owned(),
        sites => quote(&sites.join(", ")),
    };
    writeln!(out, "{}", path.display())?;
    writeln!(out, "  site         {site}")?;
    writeln!(out, "  subject      {}", quote(&shown.subject))?;
    writeln!(out, "  issuer       {}", quote(&shown.issuer))?;
    writeln!(out, "  serial       {}", shown.serial)?;
    writeln!(out, "  key          {}", shown.key)?;
    writeln!(out, "  valid from   {}", local(shown.not_before))?;
    writeln!(
        out,
        "  valid until  {}, {}",
        local(shown.not_after),
        left(shown.not_before, shown.not_after)
    )?;
    writeln!(out, "  SHA-256      {}", shown.fingerprint)?;
    writeln!(out, "  pin          {}", shown.pin.pin())
}

fn request(out: &mut impl Write, path: &Path, shown: &Request) -> io::Result<()> {
    let site = match &shown.sites[..] {
        [] => "none".to_owned(),
        sites => quote(&sites.join(", ")),
    };
    writeln!(out, "{}, a request", path.display())?;
    writeln!(out, "  site         {site}")?;
    writeln!(out, "  subject      {}", quote(&shown.subject))?;
    for name in &shown.other_names {
        writeln!(out, "  other name   {}", quote(name))?;
    }
    writeln!(out, "  key          {}", shown.key)?;
    writeln!(out, "  pin          {}", shown.pin.pin())
}

fn list(out: &mut impl Write, path: &Path, shown: &RevocationList) -> io::Result<()> {
    writeln!(out, "{}, what is revoked", path.display())?;
    writeln!(out, "  issuer       {}", quote(&shown.issuer))?;
    writeln!(out, "  number       {}", shown.number)?;
    writeln!(out, "  signed       {}", local(shown.this_update))?;
    if let Some(next) = shown.next_update {
        writeln!(
            out,
            "  next by      {}, {}",
            local(next),
            left(shown.this_update, next)
        )?;
    }
    for (serial, since) in &shown.revoked {
        writeln!(out, "  revoked      {serial} since {}", local(*since))?;
    }
    Ok(())
}

/// Names come from whoever made the file: not to be trusted on a terminal.
fn quote(text: &str) -> String {
    program::log::quote(text.as_bytes(), 256)
}

pub(crate) fn left_s(end: UnixTime) -> i64 {
    end.secs() - now().secs()
}

pub(crate) fn rfc_3339(time: UnixTime) -> String {
    timestamp(time).to_string()
}

pub(crate) fn local(time: UnixTime) -> String {
    let zoned = timestamp(time).to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// Whatever a certificate says; what lies beyond the calendar is its end.
fn timestamp(time: UnixTime) -> Timestamp {
    let nearest = match time.secs() {
        ..0 => Timestamp::MIN,
        _ => Timestamp::MAX,
    };
    Timestamp::from_second(time.secs()).unwrap_or(nearest)
}

/// How much of its time is left, in words.
fn left(begin: UnixTime, end: UnixTime) -> String {
    let left = left_s(end);
    let days = left / 86_400;
    match left {
        ..0 => format!("EXPIRED {} days ago", -days),
        _ if begin > now() => "not valid yet".to_owned(),
        _ => format!("{days} days left"),
    }
}
