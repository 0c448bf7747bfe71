//! Templates of mails.

use std::path::PathBuf;

use minijinja::Value;

use crate::template::{self, Facts, one_line, read_file};

/// The subject that is used when none is configured.
pub(crate) const SUBJECT: &str = "*** {% if late %}late {% endif %}{{ type }} - {{ host }}{% if service %}/{{ service }}{% endif %}{% if state %} is {{ state_short }}{% endif %} ***";
const TEXT: &str = include_str!("default.txt");
/// What pages begin with: their style.
const HEAD: &str = include_str!("head.html");
const HTML: &str = include_str!("default.html");
/// The same for several notifications in one mail.
const SUBJECT_OF_SEVERAL: &str = "*** {{ count }} {% if why == \"late\" %}late {% endif %}notifications - {{ host }}{% if state %} - worst is {{ state_short }}{% endif %} ***";
const TEXT_OF_SEVERAL: &str = include_str!("several.txt");
const HTML_OF_SEVERAL: &str = include_str!("several.html");
/// Longest subject, in bytes before encoding.
const MAX_SUBJECT: usize = 400;

/// What the configuration says about templates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) subject: Option<String>,
    /// Of a link to the object in some user interface.
    pub(crate) link: Option<String>,
    pub(crate) text: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
}

/// The templates of one lane.
#[derive(Debug)]
pub(crate) struct Templates(template::Templates);

/// A mail's words.
pub(crate) struct Rendered {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

impl Templates {
    /// Reads and checks all templates of a lane; an error names the one that is
    /// wrong, and where.
    pub(crate) fn read(sources: &Sources) -> Result<Self, String> {
        let file = |path: &Option<PathBuf>, default: &str| match path {
            Some(path) => read_file(path),
            None => Ok(default.to_owned()),
        };
        let subject = sources.subject.as_deref().unwrap_or(SUBJECT);
        let mut templates = template::Templates::new();
        for (name, text) in [
            ("subject", subject.to_owned()),
            ("link", sources.link.clone().unwrap_or_default()),
            ("text", file(&sources.text, TEXT)?),
            ("head.html", HEAD.to_owned()),
            ("html", file(&sources.html, HTML)?),
            ("subject of several", SUBJECT_OF_SEVERAL.to_owned()),
            ("text of several", TEXT_OF_SEVERAL.to_owned()),
            ("several.html", HTML_OF_SEVERAL.to_owned()),
        ] {
            templates.add(name, text)?;
        }
        Ok(Self(templates))
    }

    /// Renders the mail of one notification.
    pub(crate) fn render(&self, facts: Facts) -> Result<Rendered, String> {
        self.render_as(["subject", "text", "html"], facts)
    }

    /// Renders the mail of several: `each` is about one, `facts` are about all.
    pub(crate) fn render_several(
        &self,
        mut facts: Facts,
        mut each: Vec<Facts>,
    ) -> Result<Rendered, String> {
        for facts in &mut each {
            let link = self.0.render("link", facts)?;
            facts.insert("link", Value::from(link));
        }
        facts.insert("notifications", Value::from(each));
        let names = ["subject of several", "text of several", "several.html"];
        self.render_as(names, facts)
    }

    fn render_as(&self, names: [&str; 3], mut facts: Facts) -> Result<Rendered, String> {
        let [subject, text, html] = names;
        let subject = one_line(&self.0.render(subject, &facts)?, MAX_SUBJECT);
        facts.insert("subject", Value::from(subject.clone()));
        let link = self.0.render("link", &facts)?;
        facts.insert("link", Value::from(link));
        Ok(Rendered {
            subject,
            text: self.0.render(text, &facts)?,
            html: self.0.render(html, &facts)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_of_very_many_names_all_of_them_and_is_no_larger_than_servers_take() {
        let templates = Templates::read(&Sources::default()).unwrap();
        let ids: Vec<String> = (0..3000).map(|number| format!("id-{number}.")).collect();
        let long = "ü".repeat(5000);
        let one = |id: &String| {
            let texts = [
                ("id", id.as_str()),
                ("type", "PROBLEM"),
                ("host", "db1"),
                ("service", "Disk"),
                ("state", "CRITICAL"),
                ("state_short", "CRIT"),
                ("output", &long),
            ];
            texts.map(|(name, text)| (name, Value::from(text))).into()
        };
        let facts = Facts::from([("count", Value::from(ids.len())), ("host", "db1".into())]);
        let each = ids.iter().map(one).collect();
        let rendered = templates.render_several(facts, each).unwrap();
        for text in [&rendered.text, &rendered.html] {
            for id in &ids {
                assert_eq!(text.matches(id.as_str()).count(), 1, "{id}");
            }
            assert!(text.contains("And 2800 more, in short:"));
            assert_eq!(text.matches(&long[..2 * 2000]).count(), 200);
            assert!(!text.contains(&long[..2 * 2001]));
            assert!(text.len() < 2_000_000, "{}", text.len());
        }
    }

    #[test]
    fn a_mail_of_several_says_all_of_each() {
        let templates = Templates::read(&Sources::default()).unwrap();
        let facts = Facts::from([("count", Value::from(2))]);
        let one = |host: &'static str| Facts::from([("host", host.into()), ("output", "o".into())]);
        let rendered = templates
            .render_several(facts, vec![one("a"), one("b")])
            .unwrap();
        for text in [&rendered.text, &rendered.html] {
            assert!(!text.contains("in short"), "{text}");
        }
        assert_eq!(rendered.text.matches("Output:").count(), 2);
    }
}
