//! The three configuration files over HTTP, for those who allow it.
//!
//! Nothing is written before all of it has been read and can be used: a
//! configuration that cannot would be the end at the next start. A file that is
//! not named stays as it is; the original empties it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer};
use super::routes::Asked;
use crate::config::{Config, Severity, worst};

const NOT_UNDERSTOOD: &str = "invalid json or base64 string";

#[derive(Serialize)]
struct Files {
    configuration: String,
    customcheck_configuration: String,
    prometheus_exporter: String,
}

#[derive(Deserialize)]
struct NewFiles {
    configuration: Option<String>,
    customcheck_configuration: Option<String>,
    prometheus_exporter: Option<String>,
}

pub(super) fn get(config: &Config) -> Answer {
    let [main, custom, exporters] = config.files();
    let main = match fs::read(main) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!("could not read configuration file: {error}");
            return answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal server error");
        }
    };
    let optional = |path: &Path| BASE64.encode(&fs::read(path).unwrap_or_default());
    let files = Files {
        configuration: BASE64.encode(&main),
        customcheck_configuration: optional(custom),
        prometheus_exporter: optional(exporters),
    };
    answer::json(serde_json::to_vec(&files).unwrap_or_default())
}

pub(super) async fn post(mut asked: Asked) -> Answer {
    let body = match asked.body().await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let config = Arc::clone(&asked.serving.config);
    let peer = asked.peer;
    let done = tokio::task::spawn_blocking(move || take(&config, &body)).await;
    match done {
        Ok(Ok(())) => {
            tracing::warn!("new configuration from {peer}");
            // Whoever waits for it is the program itself.
            let _ = asked.shared.reload.send(());
            answer::empty(StatusCode::OK)
        }
        Ok(Err(what)) => {
            tracing::error!("configuration from {peer} was refused: {what}");
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, &what)
        }
        Err(_) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal server error"),
    }
}

fn take(config: &Config, body: &Bytes) -> Result<(), String> {
    let not_understood = || NOT_UNDERSTOOD.to_owned();
    let new: NewFiles = serde_json::from_slice(body).map_err(|_| not_understood())?;
    let decode = |text: Option<String>| match text {
        None => Ok(None),
        Some(text) => {
            let text = text.replace(['\r', '\n'], "");
            BASE64
                .decode(text.as_bytes())
                .map(Some)
                .map_err(|_| not_understood())
        }
    };
    let main = decode(new.configuration)?.unwrap_or_default();
    let custom = decode(new.customcheck_configuration)?;
    let exporters = decode(new.prometheus_exporter)?;
    if main.is_empty() {
        return Err(not_understood());
    }
    check(config, &main)?;
    // The lists first: if one cannot be written, nothing refers to them yet.
    let [main_path, custom_path, exporters_path] = config.files();
    for (path, bytes) in [(custom_path, custom), (exporters_path, exporters)] {
        if let Some(bytes) = bytes {
            write(path, &bytes)?;
        }
    }
    write(main_path, &main)
}

/// Whether the new configuration can be used. It is read from beside the old one.
fn check(config: &Config, main: &[u8]) -> Result<(), String> {
    let mut name = config.path.as_os_str().to_owned();
    name.push(".new");
    let aside = Path::new(&name);
    write(aside, main)?;
    let (_, findings) = Config::load(aside);
    let _ = fs::remove_file(aside);
    if worst(&findings) != Some(Severity::Fatal) {
        return Ok(());
    }
    let mut fatal = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Fatal);
    let first = fatal.next().map(|finding| match finding.line {
        Some(line) => format!("line {line}: {}", finding.text),
        None => finding.text.clone(),
    });
    Err(format!(
        "invalid configuration: {}",
        first.unwrap_or_default()
    ))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    program::file::replace(path, 0o600, |out| out.write_all(bytes))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
