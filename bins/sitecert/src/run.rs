//! What each subcommand does, in order.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use authority::ca::SiteFiles;
use authority::{
    Authority, Certificate, Directory, Error, Key, Lifetime, Request, Serial, Shape, directory,
};
use objects::{SiteId, UnixTime};
use program::{Failure, Status};

use crate::cli::{self, Command};
use crate::{invite, join, list, show, trust};

const DAY: Duration = Duration::from_secs(86_400);
/// Of authorities.
const TEN_YEARS: u32 = 3650;
/// Of sites.
const ONE_YEAR: u32 = 365;
/// What Checkmk gives to both.
const YEARS_999: u32 = 364_876;

pub(crate) fn run(command: Command) -> Result<Status, Failure> {
    match command {
        Command::InitCa(args) => init_ca(&args),
        Command::Issue(args) => issue(&args),
        Command::Request(args) => request(&args),
        Command::Sign(args) => sign(&args),
        Command::Renew(args) => renew(&args),
        Command::Revoke(args) => revoke(&args),
        Command::Crl(args) => crl(&args),
        Command::List(args) => list::issued(&args),
        Command::Invite(args) => invite::invite(&args),
        Command::Invitations(args) => list::invitations(&args),
        Command::Withdraw(args) => invite::withdraw(&args),
        Command::Join(args) => join::run(&args),
        Command::Trust(args) => trust::run(&args),
        Command::Pin(args) => pin(&args),
        Command::Show(args) => show::run(&args),
        // It speaks and ends as a plugin: see main.
        Command::Check(_) => Ok(Status::Done),
    }
}

fn init_ca(args: &cli::InitCa) -> Result<Status, Failure> {
    let shape = args.shape.shape();
    let lifetime = lifetime(args.days, shape, TEN_YEARS);
    Authority::create(&args.directory.path, &args.name, shape, lifetime, now()).map_err(failed)?;
    Ok(Status::Done)
}

fn issue(args: &cli::Issue) -> Result<Status, Failure> {
    let shape = args.shape.shape();
    open(&args.directory.path)?
        .issue(&args.site, shape, lifetime(args.days, shape, ONE_YEAR))
        .map_err(failed)?;
    Ok(Status::Done)
}

fn request(args: &cli::Request) -> Result<Status, Failure> {
    authority::ca::check_name(&args.site).map_err(failed)?;
    let directory = Directory::create(&args.directory.path).map_err(failed)?;
    let files = SiteFiles::of(&directory, args.site.as_str());
    directory::must_be_new(&files.certificate).map_err(failed)?;
    let key = files.key(args.shape.shape()).map_err(failed)?;
    let text = key.request(&args.site).map_err(failed)?;
    let path = directory.file(&format!("{}.csr", args.site));
    directory::write(&path, &text).map_err(failed)?;
    Ok(Status::Done)
}

fn sign(args: &cli::Sign) -> Result<Status, Failure> {
    let text = directory::read(&args.request).map_err(failed)?;
    let request = Request::from_pem(&text).map_err(|what| bad(&args.request, &what))?;
    let authority = open(&args.directory.path)?;
    let files = SiteFiles::of(authority.directory(), args.site.as_str());
    directory::must_be_new(&files.certificate).map_err(failed)?;
    let lifetime = Lifetime::from_now(now(), args.days * DAY);
    let issued = authority
        .sign_request(&args.site, &request, lifetime)
        .map_err(failed)?;
    directory::write(&files.certificate, &issued.chain).map_err(failed)?;
    let mut out = std::io::stdout().lock();
    show::certificate(&mut out, &files.certificate, &issued.certificate)
        .map_err(|_| Failure::silent(Status::Failed))?;
    Ok(Status::Done)
}

fn renew(args: &cli::Renew) -> Result<Status, Failure> {
    let lifetime = Lifetime::from_now(now(), args.days * DAY);
    open(&args.directory.path)?
        .renew(&args.site, lifetime)
        .map_err(failed)?;
    Ok(Status::Done)
}

/// A site's name goes before a number that looks the same.
fn revoke(args: &cli::Revoke) -> Result<Status, Failure> {
    let authority = open(&args.directory.path)?;
    let serial: Result<Serial, _> = args.what.parse();
    let serials = match SiteId::new(&args.what) {
        Ok(site) => match (authority.revoke_site(&site, now()), serial) {
            (Err(Error::Unknown(_)), Ok(serial)) => revoke_one(&authority, serial),
            (result, _) => result,
        },
        Err(error) => match serial {
            Ok(serial) => revoke_one(&authority, serial),
            Err(_) => return Err(Failure::new(Status::Usage, error.to_string())),
        },
    };
    for serial in serials.map_err(failed)? {
        say(&format!("{serial} is revoked"))?;
    }
    say("listeners that read this list honour it when they are reloaded")?;
    Ok(Status::Done)
}

fn revoke_one(authority: &Authority, serial: Serial) -> Result<Vec<Serial>, Error> {
    authority.revoke(&serial, now())?;
    Ok(vec![serial])
}

fn crl(args: &cli::Crl) -> Result<Status, Failure> {
    open(&args.directory.path)?
        .write_revocations(now(), args.days * DAY)
        .map_err(failed)?;
    Ok(Status::Done)
}

fn pin(args: &cli::Pin) -> Result<Status, Failure> {
    for path in &args.files {
        let text = directory::read(path).map_err(failed)?;
        let certificate = Certificate::first_in(&text).map(|c| c.pin);
        let pin = certificate
            .or_else(|_| Request::from_pem(&text).map(|r| r.pin))
            .or_else(|_| Key::from_pem(&text).map(|k| k.pin()))
            .map_err(|_| bad(path, "has no certificate, request or key"))?;
        say(&pin.pin())?;
    }
    Ok(Status::Done)
}

pub(crate) fn open(path: &Path) -> Result<Authority, Failure> {
    Authority::open(path, now()).map_err(failed)
}

fn lifetime(days: Option<u32>, shape: Shape, usual: u32) -> Lifetime {
    let days = days.unwrap_or(match shape {
        Shape::Ecdsa => usual,
        Shape::Rsa => YEARS_999,
    });
    Lifetime::from_now(now(), days * DAY)
}

pub(crate) fn now() -> UnixTime {
    SystemTime::now().into()
}

/// A line on standard output.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}").map_err(|_| Failure::silent(Status::Failed))
}

pub(crate) fn failed(error: Error) -> Failure {
    let status = match error.is_temporary() {
        true => Status::TryAgain,
        false => Status::Failed,
    };
    Failure::new(status, program::exit::chain(&error))
}

pub(crate) fn bad(path: &Path, what: &str) -> Failure {
    Failure::new(Status::Failed, format!("{}: {what}", path.display()))
}
