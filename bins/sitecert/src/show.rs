//! What is in certificates, for people and as JSON.

use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::digest;
use jiff::{Timestamp, tz::TimeZone};
use program::{Failure, Status};
use serde::Serialize;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

use crate::cli::Show;
use crate::files;

/// What the URI of a site begins with.
const SITE_URI: &str = "sitewire:site:";

/// Shows all files that can be shown, and fails if one could not.
pub(crate) fn run(args: &Show) -> Result<Status, Failure> {
    let now = Timestamp::now();
    let mut out = io::stdout().lock();
    let mut status = Ok(Status::Done);
    for path in &args.files {
        match read(path, now) {
            Ok(certificates) => {
                for certificate in certificates {
                    print(&mut out, &certificate, now, args.json)
                        .map_err(|_| Failure::silent(Status::Failed))?;
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

/// One certificate; the members of the JSON object.
#[derive(Debug, Serialize)]
struct Shown {
    file: String,
    site: Option<String>,
    subject: String,
    issuer: String,
    ca: bool,
    #[serde(serialize_with = "rfc_3339")]
    not_before: Timestamp,
    #[serde(serialize_with = "rfc_3339")]
    not_after: Timestamp,
    /// Negative once it has expired.
    left_s: i64,
    sha256: String,
}

fn rfc_3339<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn read(path: &Path, now: Timestamp) -> Result<Vec<Shown>, Failure> {
    let bad = |what: String| Failure::new(Status::Failed, format!("{}: {what}", path.display()));
    let (text, _) = files::read(path)?;
    let mut shown = Vec::new();
    for pem in Pem::iter_from_buffer(text.as_bytes()) {
        let pem = pem.map_err(|error| bad(format!("is not PEM: {error}")))?;
        if pem.label != "CERTIFICATE" {
            continue;
        }
        let (_, certificate) = x509_parser::parse_x509_certificate(&pem.contents)
            .map_err(|error| bad(format!("is not a certificate: {error}")))?;
        shown.push(
            look_at(path, &certificate, &pem.contents, now)
                .map_err(|error| bad(format!("has an impossible date: {error}")))?,
        );
    }
    if shown.is_empty() {
        return Err(bad("has no certificate".to_owned()));
    }
    Ok(shown)
}

fn look_at(
    path: &Path,
    certificate: &X509Certificate<'_>,
    der: &[u8],
    now: Timestamp,
) -> Result<Shown, jiff::Error> {
    let validity = certificate.validity();
    let not_after = Timestamp::from_second(validity.not_after.timestamp())?;
    let hash = digest::digest(&digest::SHA256, der);
    let sha256: Vec<String> = hash.as_ref().iter().map(|b| format!("{b:02X}")).collect();
    Ok(Shown {
        file: path.display().to_string(),
        site: site(certificate),
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        ca: certificate.is_ca(),
        not_before: Timestamp::from_second(validity.not_before.timestamp())?,
        not_after,
        left_s: not_after.as_second() - now.as_second(),
        sha256: sha256.join(":"),
    })
}

fn site(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(SITE_URI).map(str::to_owned),
            _ => None,
        })
}

fn print(out: &mut impl Write, shown: &Shown, now: Timestamp, json: bool) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, shown)?;
        return writeln!(out);
    }
    let local = |time: Timestamp| {
        time.to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S %:z")
            .to_string()
    };
    // Names come from whoever made the certificate: not to be trusted on a terminal.
    let quote = |text: &str| program::log::quote(text.as_bytes(), 256);
    let site = match &shown.site {
        Some(site) => quote(site),
        None if shown.ca => "none, an authority".to_owned(),
        None => "none".to_owned(),
    };
    writeln!(out, "{}", shown.file)?;
    writeln!(out, "  site         {site}")?;
    writeln!(out, "  subject      {}", quote(&shown.subject))?;
    writeln!(out, "  issuer       {}", quote(&shown.issuer))?;
    writeln!(out, "  valid from   {}", local(shown.not_before))?;
    writeln!(
        out,
        "  valid until  {}, {}",
        local(shown.not_after),
        left(shown, now)
    )?;
    writeln!(out, "  SHA-256      {}", shown.sha256)
}

/// How much of its time is left, in words.
fn left(shown: &Shown, now: Timestamp) -> String {
    let days = shown.left_s / 86_400;
    match shown.left_s {
        ..0 => format!("EXPIRED {} days ago", -days),
        _ if shown.not_before > now => "not valid yet".to_owned(),
        _ => format!("{days} days left"),
    }
}
