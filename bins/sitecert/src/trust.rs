//! Believing an authority: what somebody has looked at, and said yes to.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use authority::invitation::is_address;
use authority::{Certificate, Directory, directory};
use program::{Failure, Status};

use crate::cli::Trust;
use crate::run::{bad, failed, say};
use crate::{server, show};

pub(crate) fn run(args: &Trust) -> Result<Status, Failure> {
    let authority = match Path::new(&args.from) {
        file if file.exists() || !is_address(&args.from) => from_file(file)?,
        _ => from_server(&args.from)?,
    };
    if believed(&args.ca)?.contains(&authority) {
        say(&format!("{} has it already", args.ca.display()))?;
        return Ok(Status::Done);
    }
    let mut out = std::io::stdout().lock();
    show::certificate(&mut out, Path::new(&args.from), &authority)
        .map_err(|_| Failure::silent(Status::Failed))?;
    drop(out);
    confirm(args, &authority)?;
    add(&args.ca, &authority)?;
    say(&format!("{} has it now", args.ca.display()))?;
    Ok(Status::Done)
}

fn from_file(path: &Path) -> Result<Certificate, Failure> {
    let text = directory::read(path).map_err(failed)?;
    let all = Certificate::all_in(&text).map_err(|what| bad(path, &what))?;
    match all
        .into_iter()
        .rfind(|certificate| certificate.is_authority)
    {
        Some(authority) => Ok(authority),
        None => Err(bad(path, "has no certificate of an authority")),
    }
}

/// The topmost authority above the server's certificate. Servers show what is
/// above it in any order.
fn from_server(address: &str) -> Result<Certificate, Failure> {
    let chain = server::chain(address)?;
    let Some(leaf) = chain.first() else {
        let what = format!("{address} shows no certificate");
        return Err(Failure::new(Status::Failed, what));
    };
    let mut top = leaf;
    for _ in &chain {
        let above = chain.iter().find(|ca| *ca != top && top.is_signed_by(ca));
        top = above.unwrap_or(top);
    }
    if top.is_authority {
        return Ok(top.clone());
    }
    let what = format!(
        "{address} does not show its authority; its own public key is {}",
        leaf.pin.pin()
    );
    Err(Failure::new(Status::Failed, what))
}

fn confirm(args: &Trust, authority: &Certificate) -> Result<(), Failure> {
    let no = |what: &str| Err(Failure::new(Status::Failed, what));
    match args.fingerprint {
        Some(wanted) if [authority.fingerprint, authority.pin].contains(&wanted) => Ok(()),
        Some(_) => no("the fingerprint is another one: not believed"),
        None if std::io::stdin().is_terminal() => match ask() {
            true => Ok(()),
            false => no("not believed"),
        },
        None => no("nobody is there to look at it: say --fingerprint"),
    }
}

fn ask() -> bool {
    eprint!("Compare the SHA-256 with what its owner says. Believe it? (yes/no) ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok() && line.trim() == "yes"
}

/// Those in the file, if there is one.
fn believed(path: &Path) -> Result<Vec<Certificate>, Failure> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = directory::read(path).map_err(failed)?;
    Certificate::all_in(&text).map_err(|what| bad(path, &what))
}

fn add(path: &Path, authority: &Certificate) -> Result<(), Failure> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The lock is on the directory: read again what is there.
    let _lock = Directory::create(parent).map_err(failed)?;
    let mut all = believed(path)?;
    all.push(authority.clone());
    let text: String = all.iter().map(Certificate::to_pem).collect();
    directory::write(path, &text).map_err(failed)
}
