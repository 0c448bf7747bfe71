//! What a notification is about, as one number.

use objects::notification::Context;
use spool::Label;

/// Host and service of a notification. It stands in the journal, so a release
/// must not compute it in another way than those before it.
///
/// Two objects may have the same number. They are then kept in one order, and
/// that is all that may follow from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Object(u32);

impl Object {
    /// The object that `context` is about.
    pub(crate) fn of(context: &Context) -> Self {
        let get = |name: &str| context.get(name).map_or(&b""[..], |value| value.as_slice());
        let crc = crc32c::crc32c(get("HOSTNAME"));
        // No value has a NUL in it by the time a plugin sees it.
        let crc = crc32c::crc32c_append(crc, b"\0");
        Self(crc32c::crc32c_append(crc, get("SERVICEDESC")))
    }

    /// As it stands in the journal.
    pub(crate) fn number(&self) -> u32 {
        self.0
    }
}

impl From<Label> for Object {
    fn from(label: Label) -> Self {
        Self(label.about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_number_it_always_had() {
        for (host, service, want) in [
            ("", "", 0x527d_5351),
            ("db1", "", 0x7564_926c),
            ("db1", "Disk /", 0x9af6_4f5c),
            ("db1Disk /", "", 0x541c_7ea2),
        ] {
            let context = Context::from([
                ("HOSTNAME".to_owned(), host.into()),
                ("SERVICEDESC".to_owned(), service.into()),
                ("SERVICEOUTPUT".to_owned(), "something".into()),
            ]);
            assert_eq!(Object::of(&context).number(), want, "{host}, {service}");
        }
    }
}
