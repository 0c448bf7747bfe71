//! Invitations: what a site needs to know to join, as one word.

use std::path::{Path, PathBuf};

use authority::invitation::{Centre, InvitationId};
use authority::{Settings, settings};
use objects::SiteId;
use program::config::Table;
use program::{Failure, Status};

use crate::cli::{Invite, Withdraw};
use crate::run::{failed, now, open, say};

pub(crate) fn invite(args: &Invite) -> Result<Status, Failure> {
    let configured = match (&args.directory, &args.address, &args.centre) {
        // Nothing is left to be looked up.
        (Some(_), Some(_), Some(_)) => Configured::default(),
        _ => Configured::read(args.config.file.as_deref())?,
    };
    let settings = configured.settings;
    let (configured_directory, configured_address) = match settings {
        Some(settings) => (Some(settings.directory), settings.address),
        None => (None, None),
    };
    let directory = missing(
        args.directory.clone().or(configured_directory),
        "--directory",
    )?;
    let centre = Centre {
        site: missing(args.centre.clone().or(configured.site), "--centre")?,
        address: missing(args.address.clone().or(configured_address), "--address")?,
    };
    let token = open(&directory)?
        .invite(&args.site, &centre, args.expires, now())
        .map_err(failed)?;
    say(&token.to_string())?;
    Ok(Status::Done)
}

fn missing<T>(value: Option<T>, option: &str) -> Result<T, Failure> {
    value.ok_or_else(|| {
        let what = format!("{option} is missing, and notifyd.toml does not say it");
        Failure::new(Status::Usage, what)
    })
}

/// What notifyd.toml says of the centre.
#[derive(Default)]
struct Configured {
    site: Option<SiteId>,
    settings: Option<Settings>,
}

impl Configured {
    /// The default file need not be there.
    fn read(file: Option<&Path>) -> Result<Self, Failure> {
        let path = file.map_or_else(settings::configuration_file, PathBuf::from);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(_) if file.is_none() => return Ok(Self::default()),
            Err(error) => {
                let what = format!("cannot read {}", path.display());
                return Err(Failure::caused(Status::Failed, what, error));
            }
        };
        let mut problems = Vec::new();
        let mut root = Table::parse(&path.display().to_string(), &text, &mut problems);
        let site = root
            .take("site", Table::table, &mut problems)
            .and_then(|mut table| table.take("name", Table::parsed, &mut problems));
        let settings = root
            .take("authority", Table::table, &mut problems)
            .and_then(|table| Settings::parse(table, &mut problems));
        match problems.first() {
            Some(problem) => Err(Failure::new(Status::BadConfiguration, problem.clone())),
            None => Ok(Self { site, settings }),
        }
    }
}

pub(crate) fn withdraw(args: &Withdraw) -> Result<Status, Failure> {
    let authority = open(&args.directory.path)?;
    let found = match args.what.parse::<InvitationId>() {
        Ok(id) => authority.withdraw(&id).map_err(failed)?,
        Err(_) => {
            let site = SiteId::new(&args.what)
                .map_err(|error| Failure::new(Status::Usage, error.to_string()))?;
            authority.withdraw_site(&site).map_err(failed)? > 0
        }
    };
    if found {
        return Ok(Status::Done);
    }
    let what = format!("there is no open invitation for {}", args.what);
    Err(Failure::new(Status::Failed, what))
}
