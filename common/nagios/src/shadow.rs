//! Shadow configuration: the hosts and services of another site, as
//! Checkmk's loader takes them from a `.mk` file.
//!
//! ```text
//! # sitewire 1 config site=remote1 seq=1795217983000000 epoch=0 mode=full time=1795217983
//! shadow_hosts.update({
//! 'db1': {'address': '10.1.1.5', 'alias': 'Database', 'services': {'Disk /': {}}},
//! })
//! contacts.update({
//! 'joe': {'alias': 'Joe', 'contactgroups': ['ops']},
//! })
//! # sitewire-end records=2 crc32c=3286ba3e
//! ```
//!
//! The comments frame it; sitewire-dump(5) describes the whole. Printing and
//! reading both need the memory of one host at a time, beyond what the caller
//! keeps.

mod definitions;
mod dict;
mod fields;
mod printer;

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice};
use objects::{DumpBegin, Host};

use crate::python::{Reader, Value};
use crate::{Error, frame};

pub use crate::python::Limits;
pub use definitions::Definitions;
pub use printer::{PrintedServices, Printer};

/// What a shadow configuration says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShadowConfiguration {
    /// What the frame says; `None` if there is no frame, and so no way to know
    /// whether the file is whole.
    pub begin: Option<DumpBegin>,
    /// The hosts with their services, by name.
    pub hosts: BTreeMap<BString, Host>,
    /// The contacts and groups.
    pub definitions: Definitions,
}

/// Reads a shadow configuration.
///
/// Taken are the statements `shadow_hosts.update({...})` and
/// `shadow_hosts = {...}`, and the same with `contacts`, `define_hostgroups`,
/// `define_servicegroups` and `define_contactgroups`, in any number, with
/// comments and blank lines; keys of a host, service or contact that we do not
/// know are skipped. Nothing is evaluated.
/// A frame that does not fit what it frames is an error, so a file with a frame
/// that was cut at any place is never taken.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<ShadowConfiguration, Error> {
    let mut reader = Reader::new(bytes, limits)?;
    let frame = frame::check(bytes)?;
    let mut read = ShadowConfiguration::default();
    let records = statements(&mut reader, &mut read)?;
    let damaged = |at: usize, what: String| Error::Damaged {
        at: reader.position(at),
        what,
    };
    read.begin = match (frame, reader.mark()) {
        (None, None) => None,
        (None, Some(at)) => {
            let what = "a dump's mark that does not begin the file: it was cut, or put together";
            return Err(damaged(at, what.to_owned()));
        }
        (Some((_, end)), _) if end.records != records => {
            let what = format!(
                "the end mark counts {} hosts and services, but there are {records}",
                end.records
            );
            return Err(damaged(bytes.len() - 1, what));
        }
        (Some((begin, _)), _) => Some(begin),
    };
    Ok(read)
}

/// Whether a host, a service, a contact or a group can be called that. No core
/// can have any other name, and no request could ask for it.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.find_byteset(b"\n\0").is_none()
}

/// What a statement is about.
#[derive(Clone, Copy, PartialEq)]
enum Subject {
    Hosts,
    Contacts,
    Hostgroups,
    Servicegroups,
    Contactgroups,
}

/// The names that statements begin with.
const SUBJECTS: [(&str, Subject); 5] = [
    ("shadow_hosts", Subject::Hosts),
    ("contacts", Subject::Contacts),
    ("define_hostgroups", Subject::Hostgroups),
    ("define_servicegroups", Subject::Servicegroups),
    ("define_contactgroups", Subject::Contactgroups),
];

/// Reads all statements; returns how many hosts and services they name.
fn statements(reader: &mut Reader<'_>, into: &mut ShadowConfiguration) -> Result<u64, Error> {
    let mut records = 0;
    let mut seen = false;
    loop {
        reader.skip_blank_lines()?;
        if reader.is_at_end() {
            break;
        }
        let (name, subject) = read_subject(reader)?;
        reader.skip_blanks()?;
        if reader.take(b'=') {
            reader.skip_blanks()?;
            clear(subject, into, &mut records);
            read_dict(reader, subject, into, &mut records)?;
        } else {
            let method = reader.take(b'.');
            reader.skip_blanks()?;
            if !method || reader.take_name() != b"update" {
                let wanted = format!("`.update({{...}})` or ` = {{...}}` behind `{name}`");
                return Err(reader.unexpected(&wanted));
            }
            reader.call(|reader| read_dict(reader, subject, into, &mut records))?;
        }
        reader.end_statement()?;
        seen = true;
    }
    if !seen {
        return Err(reader.unexpected("`shadow_hosts`"));
    }
    Ok(records)
}

fn read_subject(reader: &mut Reader<'_>) -> Result<(&'static str, Subject), Error> {
    let at = reader.at();
    let name = reader.take_name();
    if let Some(known) = SUBJECTS
        .into_iter()
        .find(|(known, _)| known.as_bytes() == name)
    {
        return Ok(known);
    }
    let found = if name.is_empty() { reader.rest() } else { name };
    let found = found
        .chars()
        .take(40)
        .take_while(|c| *c != '\n')
        .collect::<String>();
    let names = SUBJECTS.map(|(known, _)| format!("`{known}`")).join(", ");
    Err(reader.syntax(
        at,
        format!("expected one of {names}, found `{found}`: nothing else is read"),
    ))
}

fn clear(subject: Subject, into: &mut ShadowConfiguration, records: &mut u64) {
    match subject {
        Subject::Hosts => {
            into.hosts.clear();
            *records = 0;
        }
        Subject::Contacts => into.definitions.contacts.clear(),
        Subject::Hostgroups => into.definitions.hostgroups.clear(),
        Subject::Servicegroups => into.definitions.servicegroups.clear(),
        Subject::Contactgroups => into.definitions.contactgroups.clear(),
    }
}

fn read_dict(
    reader: &mut Reader<'_>,
    subject: Subject,
    into: &mut ShadowConfiguration,
    records: &mut u64,
) -> Result<(), Error> {
    let defined = &mut into.definitions;
    let aliases = match subject {
        Subject::Hosts => return read_hosts(reader, &mut into.hosts, records),
        Subject::Contacts => return definitions::read_contacts(reader, &mut defined.contacts),
        Subject::Hostgroups => &mut defined.hostgroups,
        Subject::Servicegroups => &mut defined.servicegroups,
        Subject::Contactgroups => &mut defined.contactgroups,
    };
    definitions::read_aliases(reader, aliases)
}

/// Reads the dict of hosts; a later host of the same name replaces an earlier
/// one as a whole, as `update` does.
fn read_hosts(
    reader: &mut Reader<'_>,
    hosts: &mut BTreeMap<BString, Host>,
    records: &mut u64,
) -> Result<(), Error> {
    if reader.rest().first() != Some(&b'{') {
        return Err(reader.unexpected("a dict of hosts"));
    }
    reader.dict(|reader, name, at| {
        let Value::Str(name) = name else {
            let what = format!("a host's name must be a str, not a {}", name.type_name());
            return Err(reader.syntax(at, what));
        };
        let host = fields::read_host(reader, &name, at)?;
        *records += 1 + host.services.len() as u64;
        hosts.insert(name, host);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use objects::{Contact, DumpContent, DumpMode, Service, SiteId, UnixTime};

    use super::*;

    fn begin() -> DumpBegin {
        DumpBegin {
            site: SiteId::new("remote1").unwrap(),
            content: DumpContent::Configuration,
            epoch: 3,
            sequence: 1_795_217_983_250_000,
            mode: DumpMode::Full,
            time: UnixTime::from_micros(1_795_217_983_250_000),
            config_hash: None,
        }
    }

    fn hosts() -> BTreeMap<BString, Host> {
        let service = Service {
            display_name: "Root".into(),
            groups: vec!["disks".into()],
            contacts: vec!["op".into()],
            contact_groups: vec!["ops".into(), "all".into()],
            icon_image: "disk.png".into(),
            check_command: "check_disk!/!90%".into(),
            max_check_attempts: 3,
            check_interval: 1.0,
            retry_interval: 0.5,
            notes: "it's \"full\"\nsoon".into(),
            custom_variables: [("TAGS".into(), "/wan/ prod".into())].into(),
            labels: [("os".into(), "linux".into())].into(),
            label_sources: Some(Box::new([("os".into(), "discovered".into())].into())),
        };
        let host = Host {
            alias: "Größe \\ 1".into(),
            display_name: "DB".into(),
            address: "10.1.1.5".into(),
            groups: vec!["db".into()],
            contacts: vec!["op".into()],
            contact_groups: vec!["ops".into()],
            parents: vec!["router".into()],
            icon_image: "db.png".into(),
            check_command: "ping".into(),
            max_check_attempts: 5,
            check_interval: 0.1,
            retry_interval: 2.0,
            notes: "n".into(),
            custom_variables: [("X".into(), b"\xe4\xf6".into())].into(),
            labels: [("a:b".into(), "c".into())].into(),
            label_sources: Some(Box::new([("a:b".into(), "ruleset".into())].into())),
            services: [("C:\\".into(), service)].into(),
        };
        let plain = Service {
            max_check_attempts: 1,
            ..Service::default()
        };
        let small = Host {
            max_check_attempts: 1,
            services: [(b"\xff".into(), plain.clone()), ("a;b".into(), plain)].into(),
            ..Host::default()
        };
        [("db1".into(), host), ("b\u{20ac}".into(), small)].into()
    }

    fn definitions() -> Definitions {
        let joe = Contact {
            alias: "Joe".into(),
            contact_groups: vec!["ops".into()],
            ..Contact::default()
        };
        Definitions {
            contacts: [("joe".into(), joe)].into(),
            hostgroups: [("empty".into(), "Nobody's".into())].into(),
            ..Definitions::default()
        }
    }

    fn print(begin: &DumpBegin, hosts: &BTreeMap<BString, Host>) -> Vec<u8> {
        print_with(begin, hosts, &definitions())
    }

    fn print_with(
        begin: &DumpBegin,
        hosts: &BTreeMap<BString, Host>,
        definitions: &Definitions,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, begin).unwrap();
        for (name, host) in hosts {
            printer.host(name.as_bstr(), host).unwrap();
        }
        printer.finish_with(definitions).unwrap();
        out
    }

    fn read(text: &[u8]) -> Result<ShadowConfiguration, Error> {
        parse(text, Limits::default())
    }

    #[test]
    fn a_configuration_looks_like_this() {
        let text = String::from_utf8(print(&begin(), &hosts())).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "# sitewire 1 config site=remote1 seq=1795217983250000 epoch=3 mode=full time=1795217983.25",
                "shadow_hosts.update({",
                r"'b\u20ac': {'services': {'a;b': {}, '\udcff': {}}},",
            ]
        );
        assert!(
            lines[3].starts_with(r"'db1': {'address': '10.1.1.5', 'alias': 'Gr\xf6\xdfe \\ 1', "),
            "{}",
            lines[3]
        );
        assert_eq!(
            lines[4..11],
            [
                "})",
                "contacts.update({",
                "'joe': {'alias': 'Joe', 'contactgroups': ['ops']},",
                "})",
                "define_hostgroups.update({",
                "'empty': \"Nobody's\",",
                "})",
            ]
        );
        assert!(
            lines[11].starts_with("# sitewire-end records=5 crc32c="),
            "{}",
            lines[11]
        );
        assert_eq!(lines.len(), 12);
    }

    #[test]
    fn what_was_printed_is_read() {
        for hosts in [hosts(), BTreeMap::new()] {
            let text = print(&begin(), &hosts);
            let read = read(&text).unwrap();
            assert_eq!(read.begin, Some(begin()));
            assert_eq!(read.hosts, hosts);
            assert_eq!(read.definitions, definitions());
        }
        let delta = DumpBegin {
            mode: DumpMode::Delta { base: 7 },
            ..begin()
        };
        assert_eq!(read(&print(&delta, &hosts())).unwrap().begin, Some(delta));
    }

    #[test]
    fn services_printed_beforehand_make_the_same_file() {
        let hosts = hosts();
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, &begin()).unwrap();
        for (name, host) in &hosts {
            let mut services = PrintedServices::default();
            for (description, service) in host.services.iter().rev() {
                services.insert(description.clone(), service);
            }
            printer.host_with(name.as_bstr(), host, &services).unwrap();
        }
        printer.finish_with(&definitions()).unwrap();
        assert_eq!(out.as_bstr(), print(&begin(), &hosts).as_bstr());
    }

    #[test]
    fn a_framed_file_cut_at_any_byte_is_refused() {
        let text = print(&begin(), &hosts());
        for length in 0..text.len() {
            assert!(read(&text[..length]).is_err(), "cut at {length}");
            assert!(
                read(&text[text.len() - length..]).is_err(),
                "only the last {length}"
            );
        }
        assert!(read(&text).is_ok());
    }

    #[test]
    fn a_framed_file_with_any_byte_changed_is_refused() {
        let text = print(&begin(), &hosts());
        let body = text.find_byte(b'\n').unwrap() + 1;
        for at in body..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            // A changed case of the checksum's digits would be the same checksum.
            assert!(read(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn statements_add_up_as_python_would_do_it() {
        let text = "# by hand\nshadow_hosts = {'old': {}}\n\nshadow_hosts = {'a': {'alias': 'first'}, 'b': {}};\
                    shadow_hosts . update ( {\n  'a': {'address': '::1', 'later': [None, {1: 2}], 7: 8},  # new\n}, ) # done\n";
        let configuration = read(text.as_bytes()).unwrap();
        assert_eq!(configuration.begin, None);
        let names: Vec<_> = configuration.hosts.keys().cloned().collect();
        assert_eq!(names, ["a", "b"]);
        let a = &configuration.hosts[b"a".as_bstr()];
        assert_eq!(
            (a.alias.as_slice(), a.address.as_slice()),
            (&b""[..], &b"::1"[..])
        );
        assert_eq!(a.max_check_attempts, 1);
    }

    #[test]
    fn mistakes_are_told_with_place_host_and_key() {
        let host = |members: &str| format!("shadow_hosts.update({{'h': {{{members}}}}})\n");
        for (text, want) in [
            (
                "".to_owned(),
                "1:1: expected `shadow_hosts`, found the end of the text",
            ),
            (
                "# nothing\n".to_owned(),
                "2:1: expected `shadow_hosts`, found the end of the text",
            ),
            (
                "import os\n".to_owned(),
                "1:1: expected one of `shadow_hosts`, `contacts`, `define_hostgroups`, `define_servicegroups`, \
                 `define_contactgroups`, found `import`: nothing else is read",
            ),
            (
                "shadow_hosts.update(open('/etc/passwd'))".to_owned(),
                "1:21: expected a dict of hosts, found `o`",
            ),
            (
                "shadow_hosts['a'] = {}".to_owned(),
                "1:13: expected `.update({...})` or ` = {...}` behind `shadow_hosts`, found `[`",
            ),
            (
                "shadow_hosts = {}.copy()".to_owned(),
                "1:18: expected the end of the statement, found `.`",
            ),
            (
                "shadow_hosts = {1: {}}".to_owned(),
                "1:17: a host's name must be a str, not a int",
            ),
            (
                "shadow_hosts = {'': {}}".to_owned(),
                "1:17: host \"\": the name is empty",
            ),
            (
                "shadow_hosts = {'a\\nb': {}}".to_owned(),
                "1:17: host \"a\\nb\": the name has a line feed or NUL in it",
            ),
            (
                "shadow_hosts = {'h': []}".to_owned(),
                "1:22: host \"h\": must be a dict, not list",
            ),
            (
                host("'alias': 7"),
                "1:37: host \"h\", key \"alias\": must be a str, not int",
            ),
            (
                host("'groups': 'one'"),
                "1:38: host \"h\", key \"groups\": must be a list of str, not str",
            ),
            (
                host("'parents': ['a', None]"),
                "1:39: host \"h\", key \"parents\": must be a list of str, not None",
            ),
            (
                host("'max_check_attempts': -1"),
                "1:50: host \"h\", key \"max_check_attempts\": -1 is no number of attempts",
            ),
            (
                host("'check_interval': 1e999"),
                "1:46: host \"h\", key \"check_interval\": is infinite",
            ),
            (
                host("'labels': {'a': 1}"),
                "1:44: host \"h\", key \"labels\": must be a str, not int",
            ),
            (
                host("'services': ['Disk /']"),
                "1:40: host \"h\", key \"services\": must be a dict, not list",
            ),
            (
                host("'services': {'Disk /': {\n'check_interval': '1'}}"),
                "2:19: host \"h\", service \"Disk /\", key \"check_interval\": must be a number, not str",
            ),
            (
                format!("{}# sitewire-end records=1 crc32c=00000000\n", host("")),
                "2:1: a dump's mark that does not begin the file: it was cut, or put together",
            ),
        ] {
            assert_eq!(
                read(text.as_bytes()).unwrap_err().to_string(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_says_what_does_not() {
        let text = String::from_utf8(print(&begin(), &hosts())).unwrap();
        let crc = text.trim_end().rsplit('=').next().unwrap();
        for (name, text, want) in [
            (
                "format",
                text.replacen(" 1 config", " 2 config", 1),
                "format \"2\"",
            ),
            (
                "state",
                text.replacen(" 1 config", " 1 state", 1),
                "a dump of states",
            ),
            (
                "site",
                text.replacen("site=remote1", "site=../x", 1),
                "not a site id",
            ),
            (
                "no site",
                text.replacen("site=remote1 ", "", 1),
                "no `site`",
            ),
            (
                "mode",
                text.replacen("mode=full", "mode=some", 1),
                "mode \"some\"",
            ),
            (
                "records",
                text.replacen("records=5", "records=4", 1),
                "counts 4 hosts and services, but there are 5",
            ),
            ("crc", text.replacen(crc, "00000000", 1), "but the text has"),
            ("twice", format!("{text}{text}"), "the text has"),
            (
                "appended",
                format!("{text}# more\n"),
                "the end mark is missing",
            ),
            (
                "prepended",
                format!("# more\n{text}"),
                "does not begin the file",
            ),
            (
                "cut",
                text[..text.len() - 1].to_owned(),
                "12:1: the end mark is missing",
            ),
            (
                "later words",
                text.replacen("mode=full", "mode=full colour=red", 1),
                "",
            ),
        ] {
            match read(text.as_bytes()) {
                Ok(_) => assert!(want.is_empty(), "{name} was taken"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!want.is_empty() && error.contains(want), "{name}: {error}");
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read(&bytes);
            let mut text = b"shadow_hosts.update({'h': {".to_vec();
            text.extend(&bytes);
            let _ = read(&text);
        }

        #[test]
        fn whatever_was_taken_survives_printing(
            changes in proptest::collection::vec((0..1_000_000usize, 0..128u8), 0..4),
        ) {
            let text = print(&begin(), &hosts());
            let mut text = text[text.find_byte(b'\n').unwrap() + 1..text.rfind("# site").unwrap()].to_vec();
            for (at, byte) in changes {
                let at = at % text.len();
                text[at] = byte;
            }
            if let Ok(taken) = read(&text) {
                let again = read(&print_with(&begin(), &taken.hosts, &taken.definitions)).unwrap();
                proptest::prop_assert_eq!(again.hosts, taken.hosts);
                proptest::prop_assert_eq!(again.definitions, taken.definitions);
            }
        }
    }
}
