//! Templates of mails, in the language of Jinja.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

/// The subject that is used when none is configured.
pub(crate) const SUBJECT: &str = "*** {{ type }} - {{ host }}{% if service %}/{{ service }}{% endif %}{% if state %} is {{ state_short }}{% endif %} ***";
const TEXT: &str = include_str!("default.txt");
const HTML: &str = include_str!("default.html");
/// Longest subject, in bytes before encoding.
const MAX_SUBJECT: usize = 400;
/// Largest file of a template, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// A template that takes more steps is given up: it must not hold up the lane.
const FUEL: u64 = 2_000_000;

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
pub(crate) struct Templates(Environment<'static>);

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
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|name| match name {
            "html" => AutoEscape::Html,
            _ => AutoEscape::None,
        });
        environment.add_filter("pad", pad);
        environment.add_filter("breaks", breaks);
        environment.add_filter("markers", markers);
        environment.add_filter("duration", duration);
        environment.add_filter("percent", percent);
        let subject = sources
            .subject
            .clone()
            .unwrap_or_else(|| SUBJECT.to_owned());
        for (name, text) in [
            ("subject", subject),
            ("link", sources.link.clone().unwrap_or_default()),
            ("text", file(&sources.text, TEXT)?),
            ("html", file(&sources.html, HTML)?),
        ] {
            environment
                .add_template_owned(name, text)
                .map_err(|error| describe(name, &error))?;
        }
        Ok(Self(environment))
    }

    /// Renders subject, text and HTML with `facts`.
    pub(crate) fn render(
        &self,
        mut facts: BTreeMap<&'static str, Value>,
    ) -> Result<Rendered, String> {
        let one = |name: &str, facts: &BTreeMap<&'static str, Value>| {
            let template = self.0.get_template(name);
            let rendered = template.and_then(|template| template.render(facts));
            rendered.map_err(|error| describe(name, &error))
        };
        let subject = one_line(&one("subject", &facts)?);
        facts.insert("subject", Value::from(subject.clone()));
        let link = one("link", &facts)?;
        facts.insert("link", Value::from(link));
        Ok(Rendered {
            subject,
            text: one("text", &facts)?,
            html: one("html", &facts)?,
        })
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let length = std::fs::metadata(path).map_err(told)?.len();
    if length > MAX_FILE {
        return Err(format!("{}: larger than {MAX_FILE} bytes", path.display()));
    }
    std::fs::read_to_string(path).map_err(told)
}

fn describe(name: &str, error: &Error) -> String {
    let line = error
        .line()
        .map_or(String::new(), |line| format!(" line {line}"));
    format!("template {name}{line}: {}", program::exit::chain(error))
}

/// A header's value: on one line, and not too long.
fn one_line(text: &str) -> String {
    let spaced = |c: char| if c.is_control() { ' ' } else { c };
    let mut line = text
        .chars()
        .map(spaced)
        .collect::<String>()
        .trim()
        .to_owned();
    line.truncate(line.floor_char_boundary(MAX_SUBJECT));
    line
}

/// Filled up with blanks to so many characters.
fn pad(text: String, width: usize) -> String {
    format!("{text:<width$}")
}

/// Escaped for HTML, with its line ends kept.
fn breaks(text: &Value) -> Value {
    let escaped = html_of(text);
    Value::from_safe_string(escaped.trim_end().replace('\n', "<br>\n"))
}

/// The marks that checks of Checkmk put behind what is wrong, in colour.
fn markers(text: &Value) -> Value {
    let mut html = html_of(text);
    for (marker, word, color) in [
        ("(!!)", "CRIT", "#b42318"),
        ("(!)", "WARN", "#9a6700"),
        ("(?)", "UNKN", "#a04000"),
        ("(.)", "OK", "#1a7f37"),
    ] {
        let label = format!(
            "<b style=\"background-color: {color}; color: #ffffff; padding: 0 4px; border-radius: 3px\">{word}</b>"
        );
        html = html.replace(marker, &label);
    }
    Value::from_safe_string(html)
}

/// What is marked as safe already stays as it is.
fn html_of(text: &Value) -> String {
    let plain = text.to_string();
    if text.is_safe() {
        return plain;
    }
    let mut html = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#x27;"),
            c => html.push(c),
        }
    }
    html
}

/// `17 s`, `4 min`, `3 h`, `2 d`
fn duration(secs: i64) -> String {
    match secs {
        ..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

/// For a part of an URL: everything but letters, digits and `-._~` as `%XX`.
fn percent(text: String) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
