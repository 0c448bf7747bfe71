//! Templates, in the language of Jinja: what they can do, and what they may cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

/// What a template can use, by name.
pub(crate) type Facts = BTreeMap<&'static str, Value>;

/// Largest file of a template, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// A template that takes more steps is given up: it must not hold up the lane.
/// Enough for some thousand notifications in one mail.
const FUEL: u64 = 20_000_000;

/// Some templates that are rendered with the same facts.
#[derive(Debug)]
pub(crate) struct Templates(Environment<'static>);

impl Templates {
    /// None yet. What is missing among the facts is empty.
    pub(crate) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|name| match name.ends_with("html") {
            true => AutoEscape::Html,
            false => AutoEscape::None,
        });
        environment.add_filter("pad", pad);
        environment.add_filter("breaks", breaks);
        environment.add_filter("markers", markers);
        environment.add_filter("duration", duration);
        environment.add_filter("percent", percent);
        environment.add_filter("angles", angles);
        Self(environment)
    }

    /// Adds a template; in one whose name ends with `html` values are escaped.
    /// A mistake in it is told with its line.
    pub(crate) fn add(&mut self, name: impl Into<String>, text: String) -> Result<(), String> {
        let name = name.into();
        let added = self.0.add_template_owned(name.clone(), text);
        added.map_err(|error| describe(&name, &error))
    }

    /// Renders one of them.
    pub(crate) fn render(&self, name: &str, facts: &Facts) -> Result<String, String> {
        let template = self.0.get_template(name);
        let rendered = template.and_then(|template| template.render(facts));
        rendered.map_err(|error| describe(name, &error))
    }

    /// The value of an expression.
    pub(crate) fn value(&self, expression: &str, facts: &Facts) -> Result<Value, String> {
        let compiled = self.0.compile_expression(expression);
        let value = compiled.and_then(|compiled| compiled.eval(facts));
        value.map_err(|error| describe(expression, &error))
    }

    /// Whether an expression is one.
    pub(crate) fn check(&self, expression: &str) -> Result<(), String> {
        let compiled = self.0.compile_expression(expression);
        compiled
            .map(drop)
            .map_err(|error| describe(expression, &error))
    }
}

/// On one line, and not longer than `longest` bytes.
pub(crate) fn one_line(text: &str, longest: usize) -> String {
    let spaced = |c: char| if c.is_control() { ' ' } else { c };
    let mut line = text
        .chars()
        .map(spaced)
        .collect::<String>()
        .trim()
        .to_owned();
    line.truncate(line.floor_char_boundary(longest));
    line
}

/// Reads the file of a template.
pub(crate) fn read_file(path: &Path) -> Result<String, String> {
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

/// Escaped as Slack wants it, which is less than HTML.
fn angles(text: String) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
