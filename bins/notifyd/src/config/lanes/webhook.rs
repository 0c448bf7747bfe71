//! `webhook = "https://…"`: documents sent by HTTP.

use std::path::PathBuf;

use program::config::{Table, Value};

use super::command::texts_by_name;
use super::read::{absolute, check_file, check_secret};
use crate::config::http_settings;
use crate::http::Settings;
use crate::means::{READY, Webhook};

/// A server that is sent documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookLane {
    /// A template.
    pub(crate) url: String,
    pub(crate) method: String,
    /// Templates, by name.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) template: WebhookTemplate,
    /// Of a link to the object in some user interface.
    pub(crate) link: Option<String>,
    /// What templates can use beside the notification.
    pub(crate) variables: Vec<(String, String)>,
    /// What templates can use as `secret`.
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) http: Settings,
}

/// The document that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WebhookTemplate {
    /// One of ours.
    Ready(&'static str),
    File(PathBuf),
}

impl WebhookLane {
    pub(super) fn parse(table: &mut Table, problems: &mut Vec<String>) -> Option<Self> {
        let url = table.take("webhook", address, problems);
        let method = table.take("method", method, problems);
        let headers = table.take("headers", texts_by_name, problems);
        let template = table.take("template", template, problems);
        let link = table.take("link", Table::text, problems);
        let variables = table.take("variables", texts_by_name, problems);
        let secret_file = table.take("secret_file", absolute, problems);
        let http = http_settings(table, problems);
        Some(Self {
            url: url?,
            method: method.unwrap_or_else(|| "POST".to_owned()),
            headers: headers.unwrap_or_default(),
            template: template.unwrap_or(WebhookTemplate::Ready(READY[0].1)),
            link,
            variables: variables.unwrap_or_default(),
            secret_file,
            http,
        })
    }

    pub(super) fn check_files(&self, lane: &str) -> Option<String> {
        let checked = Webhook::new(lane.to_owned(), self.clone());
        let secret = || check_secret(self.secret_file.as_ref()?);
        let ca = || check_file(self.http.ca.as_ref()?);
        checked.err().or_else(secret).or_else(ca)
    }
}

fn address(value: Value) -> Result<String, String> {
    let text = Table::text(value)?;
    match text.starts_with("https://") || text.starts_with("http://") {
        true => Ok(text),
        false => Err("must begin with https:// or http://".to_owned()),
    }
}

fn method(value: Value) -> Result<String, String> {
    let text = Table::text(value)?;
    match ["POST", "PUT", "PATCH"].contains(&&*text) {
        true => Ok(text),
        false => Err("must be \"POST\", \"PUT\" or \"PATCH\"".to_owned()),
    }
}

fn template(value: Value) -> Result<WebhookTemplate, String> {
    let text = Table::text(value)?;
    if text.starts_with('/') {
        return Ok(WebhookTemplate::File(text.into()));
    }
    match READY.iter().find(|(name, _)| *name == text) {
        Some((_, json)) => Ok(WebhookTemplate::Ready(json)),
        None => {
            let names: Vec<&str> = READY.iter().map(|(name, _)| *name).collect();
            Err(format!(
                "must be an absolute path, or one of {}",
                names.join(", ")
            ))
        }
    }
}
