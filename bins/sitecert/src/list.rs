//! What an authority has issued, and whom it has invited.

use std::io::{self, Write};

use authority::ca::Record;
use comfy_table::{Table, presets};
use program::{Failure, Status};
use serde_json::json;

use crate::cli::List;
use crate::run::{failed, now, open};
use crate::show::{certificate_json, left_s, local, rfc_3339};

pub(crate) fn issued(args: &List) -> Result<Status, Failure> {
    let records = open(&args.directory.path)?.issued().map_err(failed)?;
    if args.json {
        let lines = records.iter().map(|record| {
            let mut value = certificate_json(&record.certificate);
            value["revoked"] = record.revoked.map(rfc_3339).into();
            value.to_string()
        });
        return print(lines);
    }
    let mut table = table(&["site", "serial", "key", "valid until", "state"]);
    for record in &records {
        let certificate = &record.certificate;
        let site = certificate.site();
        table.add_row([
            site.map_or_else(|| "-".to_owned(), |site| site.to_string()),
            certificate.serial.to_string(),
            certificate.key.clone(),
            local(certificate.not_after),
            state(record),
        ]);
    }
    print(table.lines())
}

fn state(record: &Record) -> String {
    match (record.revoked, left_s(record.certificate.not_after)) {
        (Some(since), _) => format!("revoked {}", local(since)),
        (None, ..0) => "expired".to_owned(),
        (None, left) => format!("{} days left", left / 86_400),
    }
}

pub(crate) fn invitations(args: &List) -> Result<Status, Failure> {
    let invitations = open(&args.directory.path)?.invitations().map_err(failed)?;
    let time = objects::UnixTime::from_secs;
    if args.json {
        let lines = invitations.iter().map(|(id, invitation)| {
            let used = invitation.used.as_ref();
            let value = json!({
                "id": id.to_string(),
                "site": invitation.site,
                "state": invitation.standing(now()).to_string(),
                "created": rfc_3339(time(invitation.created)),
                "expires": rfc_3339(time(invitation.expires)),
                "attempts": invitation.attempts,
                "used": used.map(|used| rfc_3339(time(used.time))),
                "serial": used.map(|used| used.serial.clone()),
            });
            value.to_string()
        });
        return print(lines);
    }
    let mut table = table(&["site", "id", "until", "wrong attempts", "state"]);
    for (id, invitation) in &invitations {
        table.add_row([
            invitation.site.to_string(),
            id.to_string(),
            local(time(invitation.expires)),
            invitation.attempts.to_string(),
            invitation.standing(now()).to_string(),
        ]);
    }
    print(table.lines())
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    table
}

fn print(lines: impl Iterator<Item = String>) -> Result<Status, Failure> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", line.trim_end()).map_err(|_| Failure::silent(Status::Failed))?;
    }
    out.flush().map_err(|_| Failure::silent(Status::Failed))?;
    Ok(Status::Done)
}
