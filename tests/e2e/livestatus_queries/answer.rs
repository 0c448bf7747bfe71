//! What a server said to a request, in a form in which two servers compare.

use serde_json::Value;

/// An answer, taken apart as far as it can be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// The connection was closed without a word.
    Nothing,
    /// A frame with another status than 200, or an unframed text.
    Fault(u16, String),
    /// Rows, the first of which may be the names.
    Rows(Vec<Vec<Value>>),
    /// Status 200 and something that is no rows.
    Other(String),
}

/// How the body of an answer is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, or Python that is JSON too.
    Json,
    /// Text with these separators of rows and fields.
    Csv(u8, u8),
    /// An object with the rows in it.
    Wrapped,
}

impl Answer {
    /// Reads the bytes that came until the connection was closed.
    pub(super) fn parse(bytes: &[u8], form: Form, framed: bool) -> Self {
        if !framed {
            return match bytes {
                b"" => Self::Nothing,
                body => Self::body(body, form),
            };
        }
        let Some((head, body)) = bytes.split_at_checked(16) else {
            return match bytes {
                b"" => Self::Nothing,
                text => Self::Other(lossy(text)),
            };
        };
        let head = lossy(head);
        let status: Option<u16> = head.get(..3).and_then(|status| status.parse().ok());
        let length: Option<usize> = head
            .get(4..15)
            .and_then(|length| length.trim().parse().ok());
        match (status, length) {
            (Some(200), Some(length)) if body.len() == length => Self::body(body, form),
            (Some(status), Some(length)) if body.len() == length => {
                Self::Fault(status, lossy(body))
            }
            _ => Self::Other(head + &lossy(body)),
        }
    }

    fn body(body: &[u8], form: Form) -> Self {
        let rows = match form {
            Form::Json => serde_json::from_slice(body).ok(),
            Form::Wrapped => serde_json::from_slice(body).ok().and_then(wrapped),
            Form::Csv(row, field) => Some(csv(body, row, field)),
        };
        rows.map_or_else(|| Self::Other(lossy(body)), Self::Rows)
    }

    /// The first line of it, for people.
    pub(super) fn short(&self) -> String {
        let text = match self {
            Self::Nothing => "closed without a word".to_owned(),
            Self::Fault(status, text) => format!("{status} {}", text.lines().next().unwrap_or("")),
            Self::Rows(rows) => {
                let rows: Vec<_> = rows.iter().map(|row| Value::from(row.clone())).collect();
                format!("{} rows {}", rows.len(), Value::from(rows))
            }
            Self::Other(text) => format!("200 {text:?}"),
        };
        match text.char_indices().nth(1500) {
            Some((end, _)) => text[..end].to_owned() + "…",
            None => text,
        }
    }
}

fn wrapped(value: Value) -> Option<Vec<Vec<Value>>> {
    let rows = |value: &Value| serde_json::from_value::<Vec<Vec<Value>>>(value.clone()).ok();
    let mut all = rows(value.get("data")?)?;
    if let Some(names) = value.get("columns") {
        all.insert(0, names.as_array()?.clone());
    }
    Some(all)
}

fn csv(body: &[u8], row: u8, field: u8) -> Vec<Vec<Value>> {
    let body = body.strip_suffix(&[row]).unwrap_or(body);
    if body.is_empty() {
        return Vec::new();
    }
    body.split(|byte| *byte == row)
        .map(|row| {
            row.split(|byte| *byte == field)
                .map(|cell| Value::from(lossy(cell)))
                .collect()
        })
        .collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
