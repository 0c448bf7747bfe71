//! The configuration of all hosts and services.
//!
//! Servers send services in an order of their own, while a dump has hosts in the
//! order of their names, each with its services, so that equal configurations
//! are equal dumps. So hosts and services are kept as the text that they will be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use bstr::{BString, ByteSlice};
use livestatus::json::Row;
use nagios::object::{self, Printer};
use objects::DumpBegin;
use program::{Failure, Status};
use source::{Columns, Scope, Source};
use transfer::Output;

use crate::cli::Args;
use crate::names::Names;
use crate::referred::{Kind, Referred};
use crate::run::{Written, mode_line};
use crate::templates::Templates;

/// In the order of the constants below.
const HOST: [&str; 9] = [
    "name",
    "alias",
    "address",
    "groups",
    "check_command",
    "max_check_attempts",
    "contacts",
    "contact_groups",
    "icon_image",
];

/// In the order of the constants below.
const SERVICE: [&str; 6] = [
    "host_name",
    "description",
    "groups",
    "max_check_attempts",
    "contacts",
    "contact_groups",
];

type Text = Box<[u8]>;

/// A host's text, and its services' by description.
type Host = (Text, BTreeMap<BString, Text>);

/// Dumps all hosts in the order of their names. Nothing is written before
/// everything has come.
pub(crate) fn dump(
    args: &Args,
    source: &Source,
    scope: &Scope,
    begin: &DumpBegin,
    out: &mut Output,
) -> Result<Written, Failure> {
    let mut gathering = Gathering {
        args,
        templates: Templates::of(&args.configuration, &scope.site),
        names: Names::new(&args.choice.illegal_characters, &args.prefix),
        referred: Referred::new(&args.configuration.group_prefix),
        hosts: BTreeMap::new(),
        strangers: 0,
        nameless: 0,
        text: Vec::new(),
    };
    let mut columns =
        Columns::choose_some(source, "hosts", &HOST, |column| gathering.wants(column))?;
    source::each_row(source, scope, &mut columns, |columns, row| {
        gathering.host(columns, row);
        Ok(())
    })?;
    let mut columns = Columns::choose_some(source, "services", &SERVICE, |column| {
        gathering.wants(column)
    })?;
    source::each_row(source, scope, &mut columns, |columns, row| {
        gathering.service(columns, row);
        Ok(())
    })?;
    gathering.names.check()?;
    gathering.complain();
    let mut head = Vec::new();
    if args.configuration.dump_templates {
        gathering.templates.print(&args.configuration, &mut head);
    }
    if args.configuration.define_missing {
        let Gathering {
            referred,
            names,
            templates,
            ..
        } = &mut gathering;
        referred.ask_aliases(source, scope, names)?;
        referred.print(&templates.command, &mut head);
    }
    let objects = Objects {
        head,
        hosts: gathering.hosts,
    };
    if let Some(path) = &args.configuration.if_changed
        && objects.are_in(path)?
    {
        if args.verbose {
            eprintln!("livedump: nothing has changed");
        }
        return Ok(Written::Nothing);
    }
    objects
        .print(args, begin, out)
        .map_err(|error| out.failure(error))?;
    if args.verbose {
        let services: usize = objects.hosts.values().map(|(_, s)| s.len()).sum();
        eprintln!(
            "livedump: {} hosts, {services} services",
            objects.hosts.len()
        );
    }
    Ok(Written::Dump)
}

/// Hosts and services on their way into the dump.
struct Gathering<'a> {
    args: &'a Args,
    templates: Templates,
    names: Names,
    referred: Referred,
    hosts: BTreeMap<BString, Host>,
    /// Services of hosts that are not in the dump.
    strangers: u64,
    nameless: u64,
    /// The text being made, kept for its memory.
    text: Vec<u8>,
}

impl Gathering<'_> {
    /// Whether anything is said of the column; others are not asked for.
    fn wants(&self, column: &str) -> bool {
        let args = &self.args.configuration;
        let of_site = !args.no_contacts && args.contact_group.is_empty();
        match column {
            "groups" => !args.no_groups,
            "check_command" => args.keep_check_commands,
            "max_check_attempts" => args.max_check_attempts.is_none(),
            "contacts" => of_site && !args.include_groups,
            "contact_groups" => of_site && args.include_groups,
            "icon_image" => args.include_host_icon,
            _ => true,
        }
    }

    fn host(&mut self, columns: &Columns, row: &Row) {
        let cell = |index| columns.cell(row, index);
        let mut name = BString::default();
        self.names.host(&cell(0).text(), &mut name);
        if name.len() == self.args.prefix.len() {
            self.nameless += 1;
            return;
        }
        if !self.names.is_new(name.as_bstr(), None) {
            return;
        }
        let groups = self.referred.list(Kind::Hostgroup, &self.names, cell(3));
        let command = match cell(4).text() {
            command if command.is_empty() => self.templates.command.as_str().into(),
            command => command.into_owned(),
        };
        let attempts = self.attempts(cell(5).int());
        let (contact_key, contacts) = self.contacts(cell(6), cell(7));
        let directives = [
            (&b"use"[..], self.templates.host.as_bytes()),
            (b"host_name", &name),
            (b"alias", &cell(1).text()),
            (b"address", &cell(2).text()),
            (b"hostgroups", &groups),
            (b"check_command", &command),
            (b"max_check_attempts", &attempts),
            (contact_key, &contacts),
            (b"icon_image", &cell(8).text()),
        ];
        self.text.clear();
        object::print("host", directives, &mut self.text);
        let text = self.text.as_slice().into();
        self.hosts.insert(name, (text, BTreeMap::new()));
    }

    fn service(&mut self, columns: &Columns, row: &Row) {
        let cell = |index| columns.cell(row, index);
        let mut host = BString::default();
        self.names.host(&cell(0).text(), &mut host);
        if !self.hosts.contains_key(&host) {
            self.strangers += 1;
            return;
        }
        let mut name = BString::default();
        self.names.other(&cell(1).text(), &mut name);
        if name.is_empty() {
            self.nameless += 1;
            return;
        }
        if !self.names.is_new(host.as_bstr(), Some(name.as_bstr())) {
            return;
        }
        let groups = self.referred.list(Kind::Servicegroup, &self.names, cell(2));
        let attempts = self.attempts(cell(3).int());
        let (contact_key, contacts) = self.contacts(cell(4), cell(5));
        let directives = [
            (&b"use"[..], self.templates.service.as_bytes()),
            (b"host_name", &host),
            (b"service_description", &name),
            (b"servicegroups", &groups),
            (b"check_command", self.templates.command.as_bytes()),
            (contact_key, &contacts),
            (b"max_check_attempts", &attempts),
        ];
        self.text.clear();
        object::print("service", directives, &mut self.text);
        let text = self.text.as_slice().into();
        if let Some((_, services)) = self.hosts.get_mut(&host) {
            services.insert(name, text);
        }
    }

    fn attempts(&self, of_site: Option<i64>) -> Vec<u8> {
        let given = self.args.configuration.max_check_attempts.map(i64::from);
        // A core refuses 0.
        let attempts = given.or(of_site).unwrap_or(1).max(1);
        attempts.to_string().into_bytes()
    }

    /// Whom the object has to do with, and how that is said.
    fn contacts(
        &mut self,
        contacts: livestatus::json::Cell<'_>,
        groups: livestatus::json::Cell<'_>,
    ) -> (&'static [u8], BString) {
        let args = &self.args.configuration;
        if !args.contact_group.is_empty() {
            return (
                b"contact_groups",
                bstr::join(",", &args.contact_group).into(),
            );
        }
        match args.include_groups {
            true => {
                let list = self.referred.list(Kind::Contactgroup, &self.names, groups);
                (b"contact_groups", list)
            }
            false => {
                let list = self.referred.list(Kind::Contact, &self.names, contacts);
                (b"contacts", list)
            }
        }
    }

    fn complain(&self) {
        if self.strangers > 0 {
            // The headers chose the services and not their hosts, or the host is
            // younger than the first query.
            let count = self.strangers;
            eprintln!("livedump: {count} services of hosts that are not in the dump are left out");
        }
        if self.nameless > 0 {
            let count = self.nameless;
            eprintln!("livedump: {count} objects without a name that could be used are left out");
        }
    }
}

/// All that a dump has between its marks.
struct Objects {
    head: Vec<u8>,
    hosts: BTreeMap<BString, Host>,
}

impl Objects {
    fn texts(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let hosts = self.hosts.values().flat_map(|(host, services)| {
            std::iter::once(host)
                .chain(services.values())
                .map(|text| (&text[..], 1))
        });
        std::iter::once((&self.head[..], 0)).chain(hosts)
    }

    fn print(&self, args: &Args, begin: &DumpBegin, out: &mut Output) -> io::Result<()> {
        out.buffer()
            .extend_from_slice(mode_line(args, begin).as_bytes());
        let mut printer = Printer::new(out, begin)?;
        for (text, records) in self.texts() {
            printer.objects(text, records)?;
        }
        printer.finish().map(drop)
    }

    /// Whether an earlier dump has the same between its marks. A file that is
    /// not there, or is none, has not.
    fn are_in(&self, path: &Path) -> Result<bool, Failure> {
        let failed = |error| Failure::caused(Status::Failed, path.display().to_string(), error);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let mut earlier = BufReader::with_capacity(1 << 16, file);
        self.are_rest_of(&mut earlier).map_err(failed)
    }

    fn are_rest_of(&self, earlier: &mut impl BufRead) -> io::Result<bool> {
        const END: &[u8] = b"# sitewire-end ";
        let mut line = Vec::new();
        while !line.starts_with(b"# sitewire ") {
            line.clear();
            if earlier
                .by_ref()
                .take(1 << 16)
                .read_until(b'\n', &mut line)?
                == 0
            {
                return Ok(false);
            }
        }
        let mut found = Vec::new();
        for (text, _) in self.texts() {
            found.resize(text.len(), 0);
            match earlier.read_exact(&mut found) {
                Ok(()) if found == text => {}
                Ok(()) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        found.resize(END.len(), 0);
        Ok(earlier.read_exact(&mut found).is_ok() && found == END)
    }
}
