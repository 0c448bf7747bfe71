//! Parameters of a lane, as plugins see them.

use program::config::Plain;

/// Flattens a table into variables without the prefix `PARAMETER_`: names in
/// upper case, nested ones joined with `_`. A list of texts `X` is `XS`, joined
/// with blanks, and each of its texts `X_1`, `X_2` and so on, which is what the
/// plugins of Checkmk look for. `true` is the text `True`, as from Python.
pub(crate) fn flatten(table: &[(String, Plain)]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (key, value) in table {
        push(&key.to_ascii_uppercase(), value, &mut out);
    }
    out.sort();
    out
}

fn push(name: &str, value: &Plain, out: &mut Vec<(String, String)>) {
    match value {
        Plain::Table(entries) => {
            for (key, value) in entries {
                push(&format!("{name}_{}", key.to_ascii_uppercase()), value, out);
            }
        }
        Plain::List(items) => {
            let texts: Vec<String> = items.iter().filter_map(scalar).collect();
            out.push((format!("{name}S"), texts.join(" ")));
            for (index, item) in items.iter().enumerate() {
                push(&format!("{name}_{}", index + 1), item, out);
            }
        }
        other => out.extend(scalar(other).map(|text| (name.to_owned(), text))),
    }
}

fn scalar(value: &Plain) -> Option<String> {
    match value {
        Plain::Text(text) => Some(text.clone()),
        Plain::Integer(number) => Some(number.to_string()),
        Plain::Boolean(true) => Some("True".to_owned()),
        Plain::Boolean(false) => Some("False".to_owned()),
        Plain::List(_) | Plain::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_parameters_become_what_checkmks_plugins_read() {
        let text = |text: &str| Plain::Text(text.to_owned());
        let table = [
            ("from".to_owned(), text("mon@example.org")),
            (
                "elements".to_owned(),
                Plain::List(vec![text("perfdata"), text("graph")]),
            ),
            (
                "smtp".to_owned(),
                Plain::Table(vec![
                    ("port".to_owned(), Plain::Integer(25)),
                    ("auth".to_owned(), Plain::Boolean(true)),
                ]),
            ),
        ];
        let flat = flatten(&table);
        let flat: Vec<(&str, &str)> = flat.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(
            flat,
            [
                ("ELEMENTSS", "perfdata graph"),
                ("ELEMENTS_1", "perfdata"),
                ("ELEMENTS_2", "graph"),
                ("FROM", "mon@example.org"),
                ("SMTP_AUTH", "True"),
                ("SMTP_PORT", "25"),
            ]
        );
    }
}
