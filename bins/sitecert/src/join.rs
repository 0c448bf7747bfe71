//! Joining: key and request are made here, the certificate comes from the
//! centre. Who was killed half-way does the same again: each step is done once.

use std::io::Read;
use std::path::Path;

use authority::ca::{SiteFiles, check_name};
use authority::credentials::check;
use authority::message::{Granted, Question};
use authority::{Certificate, Credentials, Directory, Error, Key, Shape, Token, settings};
use program::{Failure, Status};

use crate::cli::Join;
use crate::run::{bad, failed, now, say};
use crate::server;
use crate::stanza::Stanza;

/// Longest text that is read as a token, in bytes.
const MAX_TOKEN: u64 = 4096;

pub(crate) fn run(args: &Join) -> Result<Status, Failure> {
    let token = read_token(&args.token)?;
    check_name(&token.site).map_err(failed)?;
    // The configuration is read from anywhere.
    let directory = std::path::absolute(&args.directory)
        .map_err(|error| bad(&args.directory, &error.to_string()))?;
    let directory = Directory::create(&directory).map_err(failed)?;
    let files = SiteFiles::of(&directory, token.site.as_str());
    let credentials = Credentials {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        authority: directory.file("ca.crt"),
        revoked: Some(directory.file("ca.crl")),
    };
    let config = args.config.file.clone();
    let config = config.unwrap_or_else(settings::configuration_file);
    let stanza = Stanza::plan(&config, &token, &credentials)?;
    authority_must_fit(&credentials, &token)?;
    let fresh = !has_joined(&credentials, &token)?;
    if fresh {
        let key = files.key(Shape::default()).map_err(failed)?;
        let granted = ask(&token, &key)?;
        credentials.install(&granted).map_err(failed)?;
    }
    let written = stanza.write()?;
    report(&token, directory.path(), written.then_some(&config), fresh)
}

fn report(
    token: &Token,
    directory: &Path,
    config: Option<&std::path::PathBuf>,
    fresh: bool,
) -> Result<Status, Failure> {
    let (site, centre) = (&token.site, &token.centre);
    match fresh {
        true => say(&format!("{site} has joined {centre}"))?,
        false => say(&format!("{site} had joined {centre} before"))?,
    }
    say(&format!("key and certificates: {}", directory.display()))?;
    if let Some(config) = config {
        say(&format!("configuration: {}", config.display()))?;
    }
    Ok(Status::Done)
}

/// A secret on the command line is seen by everybody on the machine; it can
/// come another way.
fn read_token(text: &str) -> Result<Token, Failure> {
    let mut read = String::new();
    let text = match text {
        "-" => {
            std::io::stdin()
                .take(MAX_TOKEN)
                .read_to_string(&mut read)
                .map_err(|error| {
                    Failure::caused(Status::Failed, "cannot read standard input", error)
                })?;
            &read
        }
        text => text,
    };
    text.parse()
        .map_err(|error: Error| Failure::new(Status::Usage, error.to_string()))
}

/// Two authorities in one file is a decision of the operator.
fn authority_must_fit(credentials: &Credentials, token: &Token) -> Result<(), Failure> {
    let path = &credentials.authority;
    if !path.exists() {
        return Ok(());
    }
    let believed = credentials.authorities().map_err(failed)?;
    if believed.iter().any(|ca| ca.fingerprint == token.authority) {
        return Ok(());
    }
    let what = "is of another authority than the token: use another --directory";
    Err(bad(path, what))
}

/// Whether all this was done before, up to the certificate.
fn has_joined(credentials: &Credentials, token: &Token) -> Result<bool, Failure> {
    if credentials.certificate.symlink_metadata().is_err() {
        return Ok(false);
    }
    let certificate = credentials.certificate().map_err(failed)?;
    let key = credentials.key().map_err(failed)?;
    let believed = credentials.authorities().map_err(failed)?;
    let fits = certificate.site().as_ref() == Some(&token.site)
        && certificate.public_key() == key.public_key()
        && certificate.not_after > now()
        && believed
            .iter()
            .any(|ca| ca.fingerprint == token.authority && certificate.is_signed_by(ca));
    if fits {
        return Ok(true);
    }
    let what = "exists and is not from this centre, or has ended; move it and its key away to join";
    Err(bad(&credentials.certificate, what))
}

/// Asks, and looks at what comes.
fn ask(token: &Token, key: &Key) -> Result<Granted, Failure> {
    let question = Question::Join {
        invitation: token.invitation.to_string(),
        secret: token.secret.to_hex(),
        request: key.request(&token.site).map_err(failed)?,
    };
    let mut granted = server::ask(token, &question)?;
    let mut believed = Certificate::all_in(&granted.authority)
        .map_err(|what| failed(Error::Message(format!("the authority's file {what}"))))?;
    believed.retain(|ca| ca.fingerprint == token.authority);
    check(&granted, &token.site, key, &believed, now()).map_err(failed)?;
    // The token vouches for this one, and for nobody above it.
    granted.authority = believed.iter().map(Certificate::to_pem).collect();
    Ok(granted)
}
