//! `webhook`: a JSON document, sent to a server by HTTP. Its status is the
//! verdict.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use bstr::ByteSlice;

use super::document::Document;
use crate::config::{WebhookLane, WebhookTemplate};
use crate::delivery::{Outcome, Verdict, Work};
use crate::facts;
use crate::http::{self, Client, Question};
use crate::template::{Facts, Templates, read_file};

/// How much of an answer is told.
const TOLD: usize = 500;
/// Documents that are ready, by their names.
pub(crate) const READY: [(&str, &str); 6] = [
    ("default", include_str!("webhook/default.json")),
    ("slack", include_str!("webhook/slack.json")),
    ("mattermost", include_str!("webhook/mattermost.json")),
    ("teams", include_str!("webhook/teams.json")),
    ("ntfy", include_str!("webhook/ntfy.json")),
    ("pagerduty", include_str!("webhook/pagerduty.json")),
];

/// A lane that sends documents.
pub(crate) struct Webhook {
    lane: String,
    settings: WebhookLane,
    document: Document,
    templates: Templates,
    client: Client,
}

impl Webhook {
    /// Reads and checks the templates.
    pub(crate) fn new(lane: String, settings: WebhookLane) -> Result<Self, String> {
        let json = match &settings.template {
            WebhookTemplate::Ready(json) => (*json).to_owned(),
            WebhookTemplate::File(path) => read_file(path)?,
        };
        let document = Document::parse(&json).map_err(|problem| match &settings.template {
            WebhookTemplate::Ready(_) => problem,
            WebhookTemplate::File(path) => format!("{}: {problem}", path.display()),
        })?;
        let mut templates = Templates::new();
        templates.add("webhook", settings.url.clone())?;
        templates.add("link", settings.link.clone().unwrap_or_default())?;
        for (name, value) in &settings.headers {
            templates.add(format!("header {name}"), value.clone())?;
        }
        Ok(Self {
            lane,
            document,
            templates,
            client: Client::new(settings.http.clone()),
            settings,
        })
    }

    /// Sends the document for `work`.
    pub(crate) fn deliver(&mut self, work: &Work) -> Outcome {
        self.send(work).unwrap_or_else(|outcome| outcome)
    }

    fn send(&mut self, work: &Work) -> Result<Outcome, Outcome> {
        let permanent = |text: String| Outcome::new(Verdict::Permanent, text);
        let temporary = |text: String| Outcome::new(Verdict::Temporary, text);
        let mut facts = facts::of_work(work, &self.lane, SystemTime::now().into())?;
        let link = self.templates.render("link", &facts).map_err(permanent)?;
        facts.insert("link", link.into());
        let variables: BTreeMap<String, String> = self.settings.variables.iter().cloned().collect();
        facts.insert("variables", minijinja::Value::from(variables));
        let secret = self.secret().map_err(temporary)?;
        let has_secret = secret.is_some();
        facts.insert("secret", secret.unwrap_or_default().into());
        let url = self
            .templates
            .render("webhook", &facts)
            .map_err(permanent)?;
        if has_secret && !http::is_private(&url) {
            let text = "a secret is not sent without encryption, except to this machine itself";
            return Err(permanent(text.to_owned()));
        }
        let headers = self.headers(&facts).map_err(permanent)?;
        let body = self.document.render(&facts).map_err(permanent)?;
        let host = http::host(&url);
        let asked = self.client.ask(Question {
            method: &self.settings.method,
            url: &url,
            headers: &headers,
            body: body.into_bytes(),
        });
        let answer = asked.map_err(|trouble| {
            Outcome::new(trouble.verdict, format!("{host}: {}", trouble.text))
        })?;
        let mut text = format!("{host}: HTTP {}", answer.status);
        if let Some(location) = &answer.location {
            text.push_str(&format!(", points to {}", http::host(location)));
        }
        let said = program::log::quote(answer.body.trim(), TOLD);
        if !answer.body.is_empty() {
            text.push_str(&format!(": {said}"));
        }
        let mut outcome = Outcome::new(http::judge(answer.status), text);
        outcome.retry_after = answer.retry_after;
        Ok(outcome)
    }

    fn headers(&self, facts: &Facts) -> Result<Vec<(String, String)>, String> {
        let own = [("Content-Type", "application/json")];
        let own = own.into_iter().filter(|(name, _)| {
            let set = &self.settings.headers;
            !set.iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
        });
        let own = own.map(|(name, value)| Ok((name.to_owned(), value.to_owned())));
        let set = self.settings.headers.iter().map(|(name, _)| {
            let value = self.templates.render(&format!("header {name}"), facts)?;
            Ok((name.clone(), value))
        });
        own.chain(set).collect()
    }

    /// Read for every request, so that a new one needs no reload.
    fn secret(&self) -> Result<Option<String>, String> {
        let Some(path) = &self.settings.secret_file else {
            return Ok(None);
        };
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_can_be_used() {
        for (name, json) in READY {
            assert!(
                Document::parse(json).is_ok(),
                "{name}: {:?}",
                Document::parse(json).err()
            );
        }
    }

    /// What services refuse for its size would be lost.
    #[test]
    fn what_is_ready_is_no_larger_than_its_service_takes_whatever_is_said() {
        let long = "ü\n".repeat(30_000);
        let long = || minijinja::Value::from(long.as_str());
        let facts = Facts::from([
            ("type", "PROBLEM".into()),
            ("host", "db1".into()),
            ("output", long()),
            ("details", long()),
            ("comment", long()),
            ("count", 5000.into()),
            ("link", "https://mon.example.org/".into()),
            (
                "variables",
                minijinja::Value::from(BTreeMap::<String, String>::new()),
            ),
        ]);
        for (name, longest) in [
            ("slack", 40_000),
            ("mattermost", 16_000),
            ("teams", 28_000),
            ("ntfy", 4096),
            ("pagerduty", 512_000),
        ] {
            let (_, json) = READY.iter().find(|(ready, _)| *ready == name).unwrap();
            let body = Document::parse(json).unwrap().render(&facts).unwrap();
            assert!(body.len() <= longest, "{name}: {} bytes", body.len());
            let _: serde_json::Value = serde_json::from_str(&body).unwrap();
        }
    }
}
