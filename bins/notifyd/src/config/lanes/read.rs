//! What the keys of several kinds of lanes are read and checked by.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use program::config::{Table, Value};

/// `timeout`: of a program as a whole, and of each answer of a server.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

pub(in crate::config) fn absolute(value: Value) -> Result<PathBuf, String> {
    let path = Table::path(value)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("{path:?} must be an absolute path"))
    }
}

/// A program and its arguments.
pub(in crate::config) fn command_line(value: Value) -> Result<Vec<String>, String> {
    let words = Table::texts(value)?;
    match words.first() {
        Some(program) if program.starts_with('/') => Ok(words),
        _ => Err("must begin with an absolute path".to_owned()),
    }
}

pub(super) fn host_and_port(value: Value) -> Result<(String, u16), String> {
    let text = Table::text(value)?;
    parse_host_and_port(&text).ok_or_else(|| {
        format!("{text:?} must be a host and a port, such as \"mail.example.org:587\"")
    })
}

pub(super) fn parse_host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bracketed.unwrap_or(host);
    let port = port.parse().ok()?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// What is wrong with a program that is to be run.
pub(in crate::config) fn check_program(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Err(error) => Some(format!("{}: {error}", path.display())),
        Ok(meta) if !meta.is_file() => Some(format!("{} is not a file", path.display())),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            Some(format!("{} is not executable", path.display()))
        }
        Ok(_) => None,
    }
}

/// What is wrong with a file that holds a password.
pub(super) fn check_secret(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Err(error) => Some(format!("{}: {error}", path.display())),
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => Some(format!(
            "{} can be read by others: chmod 600 it",
            path.display()
        )),
        Ok(_) => None,
    }
}

/// What is wrong with a file that is read.
pub(in crate::config) fn check_file(path: &Path) -> Option<String> {
    let error = std::fs::metadata(path).err()?;
    Some(format!("{}: {error}", path.display()))
}
