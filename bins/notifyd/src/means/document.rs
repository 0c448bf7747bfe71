//! A JSON document whose texts are templates. Whatever the values are, what
//! comes out is JSON of the same form.
//!
//! A text that is one expression as a whole, `"{{ expression }}"`, becomes the
//! value of that expression: a number stays a number, a list a list. A member
//! whose expression has no value is left out.

use serde_json::{Map, Value};

use crate::template::{Facts, Templates};

/// A document that was read.
#[derive(Debug)]
pub(super) struct Document {
    templates: Templates,
    root: Node,
}

#[derive(Debug)]
enum Node {
    Fixed(Value),
    /// The name of a template.
    Text(String),
    Expression(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Document {
    /// Reads a document, and checks all templates in it.
    pub(super) fn parse(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut templates = Templates::new();
        let root = Node::of(value, "", &mut templates)?;
        Ok(Self { templates, root })
    }

    pub(super) fn render(&self, facts: &Facts) -> Result<String, String> {
        let value = self.root.render(&self.templates, facts)?;
        Ok(value.unwrap_or(Value::Null).to_string())
    }
}

impl Node {
    /// `at` is where it stands, for messages.
    fn of(value: Value, at: &str, templates: &mut Templates) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => match expression(&text) {
                Some(expression) => {
                    let checked = templates.check(expression);
                    checked.map_err(|problem| format!("{at}: {problem}"))?;
                    Self::Expression(expression.to_owned())
                }
                None if text.contains("{{") || text.contains("{%") || text.contains("{#") => {
                    templates.add(at, text)?;
                    Self::Text(at.to_owned())
                }
                None => Self::Fixed(Value::String(text)),
            },
            Value::Array(items) => {
                let items = items.into_iter().enumerate();
                let nodes = items.map(|(n, item)| Self::of(item, &format!("{at}/{n}"), templates));
                Self::List(nodes.collect::<Result<_, String>>()?)
            }
            Value::Object(members) => {
                let nodes = members.into_iter().map(|(name, member)| {
                    let node = Self::of(member, &format!("{at}/{name}"), templates)?;
                    Ok((name, node))
                });
                Self::Object(nodes.collect::<Result<_, String>>()?)
            }
            other => Self::Fixed(other),
        })
    }

    /// `None` where an expression has no value.
    fn render(&self, templates: &Templates, facts: &Facts) -> Result<Option<Value>, String> {
        Ok(match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Text(name) => Some(Value::String(templates.render(name, facts)?)),
            Self::Expression(expression) => {
                let value = templates.value(expression, facts)?;
                let json = serde_json::to_value(&value).map_err(|error| error.to_string())?;
                Some(json).filter(|json| !json.is_null())
            }
            Self::List(nodes) => {
                let mut items = Vec::new();
                for node in nodes {
                    items.extend(node.render(templates, facts)?);
                }
                Some(Value::Array(items))
            }
            Self::Object(nodes) => {
                let mut members = Map::new();
                for (name, node) in nodes {
                    if let Some(value) = node.render(templates, facts)? {
                        members.insert(name.clone(), value);
                    }
                }
                Some(Value::Object(members))
            }
        })
    }
}

/// The expression that a text is as a whole.
fn expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let is_one = !["{{", "}}", "{%", "%}", "{#"]
        .iter()
        .any(|mark| inside.contains(mark));
    is_one.then(|| inside.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(json: &str) -> String {
        let facts = Facts::from([
            ("host", "db\"1\"\n\\".into()),
            ("attempt", 3.into()),
            ("list", minijinja::Value::from(vec!["a", "b"])),
        ]);
        let document = Document::parse(json).and_then(|document| document.render(&facts));
        document.unwrap_or_else(|problem| problem)
    }

    #[test]
    fn values_stay_values_whatever_is_in_them() {
        for (json, want) in [
            (r#"{"a":"on {{ host }}"}"#, r#"{"a":"on db\"1\"\n\\"}"#),
            (r#"{"a":"{{ host }}"}"#, r#"{"a":"db\"1\"\n\\"}"#),
            (r#"{"a":"{{ attempt }}"}"#, r#"{"a":3}"#),
            (r#"{"a":"{{ attempt }}."}"#, r#"{"a":"3."}"#),
            (r#"{"a":"{{ attempt }}{{ attempt }}"}"#, r#"{"a":"33"}"#),
            (
                r#"["{{ list }}",1,null,true]"#,
                r#"[["a","b"],1,null,true]"#,
            ),
            (
                r#"{"a":"{{ 5 if attempt > 2 else 1 }}","b":"{{ nothing }}","c":null}"#,
                r#"{"a":5,"c":null}"#,
            ),
            (r#"["{{ nothing }}","x"]"#, r#"["x"]"#),
            (r#"{"{{ host }}":"x"}"#, r#"{"{{ host }}":"x"}"#),
            (
                r#"{"a":"{% for x in list %}{{ x }};{% endfor %}"}"#,
                r#"{"a":"a;b;"}"#,
            ),
        ] {
            assert_eq!(render(json), want, "{json}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (json, want) in [
            ("{", "EOF"),
            (r#"{"a":[{"b":"{{ host"}]}"#, "/a/0/b"),
            (r#"{"a":"{{ host | nofilter }}"}"#, "nofilter"),
            (r#"{"a":"{{ 1 + }}"}"#, "/a"),
        ] {
            let told = render(json);
            assert!(told.contains(want), "{json}: {told}");
        }
    }
}
