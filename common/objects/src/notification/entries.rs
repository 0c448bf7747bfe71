//! Some entries of a context. Most of what a spooler takes in goes on to another
//! one, and nobody here asks for the rest.

use std::borrow::Cow;
use std::fmt;

use bstr::BString;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};

use super::{Error, MAX_CONTEXT, MAX_ENTRIES, Value, check_name};

/// The values of `names` in the context `json`, all of which is checked.
pub(super) fn read<const N: usize>(
    json: &str,
    names: [&str; N],
) -> Result<[Option<BString>; N], Error> {
    if json.len() > MAX_CONTEXT {
        return Err(Error::TooLarge(json.len()));
    }
    let mut values = [const { None }; N];
    let mut bad = None;
    let wanted = Wanted {
        names: &names,
        values: &mut values,
        bad: &mut bad,
    };
    let mut json = serde_json::Deserializer::from_str(json);
    wanted
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(Error::Malformed)?;
    bad.map_or(Ok(values), Err)
}

struct Wanted<'a> {
    names: &'a [&'a str],
    values: &'a mut [Option<BString>],
    /// What is wrong with a name, or with their number.
    bad: &'a mut Option<Error>,
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut count = 0;
        while let Some(Name(name)) = map.next_key()? {
            count += 1;
            if let Err(error) = check_name(&name) {
                self.bad.get_or_insert(error);
            }
            match self.names.iter().position(|wanted| *wanted == name) {
                Some(at) => self.values[at] = Some(map.next_value::<Value>()?.0),
                None => map.next_value::<Text>().map(|Text| ())?,
            }
        }
        if count > MAX_ENTRIES {
            self.bad
                .get_or_insert(Error::BadContext("has too many entries"));
        }
        Ok(())
    }
}

/// The name of an entry.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The value of an entry that nobody asks for.
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl Visitor<'_> for AnyText {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }

            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Text, E> {
                Ok(Text)
            }
        }
        deserializer.deserialize_bytes(AnyText)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_context;
    use super::*;

    #[test]
    fn entries_are_those_of_the_whole_context_and_as_good() {
        let many: String = (0..=MAX_ENTRIES)
            .map(|n| format!(",\"N{n}\":\"\""))
            .collect();
        for json in [
            r#"{}"#,
            r#"{"A":"1"}"#,
            r#"{"A":"1","B":"x\udce4\n","C":"2","A":"3"}"#,
            r#"{"B":"\ud83d\ude00"} "#,
            r#"{"\u0041":"escaped"}"#,
            r#"{"A":1}"#,
            r#"{"C":["1"]}"#,
            r#"{"C":null}"#,
            r#"{"C":"\x"}"#,
            r#"{"C":"1"} x"#,
            r#"{"C=":"1"}"#,
            r#"{"":"1","A":"1"}"#,
            r#"["A"]"#,
            r#"{"A":"1""#,
            &format!("{{\"A\":\"\"{many}}}"),
            &format!("{{\"{}\":\"\"}}", "x".repeat(300)),
        ] {
            let short = &json[..json.len().min(60)];
            match (parse_context(json), read(json, ["A", "B"])) {
                (Ok(context), Ok(some)) => {
                    let wanted = ["A", "B"].map(|name| context.get(name).cloned());
                    assert_eq!(some, wanted, "{short}");
                }
                (Err(whole), Err(some)) => {
                    assert_eq!(whole.to_string(), some.to_string(), "{short}");
                }
                (whole, some) => panic!("{short}: {whole:?} {some:?}"),
            }
        }
    }
}
