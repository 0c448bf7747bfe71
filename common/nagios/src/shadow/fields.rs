//! The members of hosts and services in a shadow configuration. Reading and
//! printing stand side by side; keys are in the order of the alphabet.

use std::collections::BTreeMap;

use bstr::BString;
use objects::{Host, RareTexts, Service};

use super::dict::Dict;
use super::is_name;
use crate::Error;
use crate::python::{Reader, Value};

/// Prints a host with its services as a dict. What is empty or has its default
/// is left out.
pub(super) fn print_host(host: &Host, out: &mut Vec<u8>) {
    print_with(host, &host.services, print_service, out);
}

/// The same with services that have been printed before.
pub(super) fn print_host_with(
    host: &Host,
    services: &BTreeMap<BString, Box<[u8]>>,
    out: &mut Vec<u8>,
) {
    print_with(host, services, |printed, out| out.extend(printed), out);
}

fn print_with<S>(
    host: &Host,
    services: &BTreeMap<BString, S>,
    print: impl Fn(&S, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let mut dict = Dict::open(out);
    dict.text("address", &host.address);
    dict.text("alias", &host.alias);
    dict.text("check_command", &host.check_command);
    dict.float("check_interval", host.check_interval);
    dict.list("contact_groups", &host.contact_groups);
    dict.list("contacts", &host.contacts);
    dict.texts("custom_variables", &host.custom_variables);
    dict.text("display_name", &host.display_name);
    dict.list("groups", &host.groups);
    dict.text("icon_image", &host.icon_image);
    if let Some(label_sources) = &host.label_sources {
        dict.texts("label_sources", label_sources);
    }
    dict.texts("labels", &host.labels);
    dict.attempts(host.max_check_attempts);
    dict.text("notes", &host.notes);
    dict.list("parents", &host.parents);
    dict.float("retry_interval", host.retry_interval);
    if !services.is_empty() {
        dict.key("services");
        let mut dict = Dict::open(dict.out);
        for (description, service) in services {
            dict.key(description);
            print(service, dict.out);
        }
        dict.close();
    }
    dict.close();
}

/// Reads a host: the dict that begins here.
pub(super) fn read_host(reader: &mut Reader<'_>, name: &BString, at: usize) -> Result<Host, Error> {
    let place = Place {
        host: name,
        service: None,
    };
    place.check_name(reader, name, at)?;
    let mut host = Host {
        max_check_attempts: 1,
        ..Host::default()
    };
    place.dict(reader, "", |reader, key, _| {
        match key.as_slice() {
            b"address" => host.address = place.text(reader, "address")?,
            b"alias" => host.alias = place.text(reader, "alias")?,
            b"check_command" => host.check_command = place.text(reader, "check_command")?,
            b"check_interval" => host.check_interval = place.float(reader, "check_interval")?,
            b"contact_groups" => host.contact_groups = place.list(reader, "contact_groups")?,
            b"contacts" => host.contacts = place.list(reader, "contacts")?,
            b"custom_variables" => {
                host.custom_variables = place.texts(reader, "custom_variables")?;
            }
            b"display_name" => host.display_name = place.text(reader, "display_name")?,
            b"groups" => host.groups = place.list(reader, "groups")?,
            b"icon_image" => host.icon_image = place.text(reader, "icon_image")?,
            b"label_sources" => host.label_sources = rare(place.texts(reader, "label_sources")?),
            b"labels" => host.labels = place.texts(reader, "labels")?,
            b"max_check_attempts" => host.max_check_attempts = place.attempts(reader)?,
            b"notes" => host.notes = place.text(reader, "notes")?,
            b"parents" => host.parents = place.list(reader, "parents")?,
            b"retry_interval" => host.retry_interval = place.float(reader, "retry_interval")?,
            b"services" => host.services = read_services(reader, &place)?,
            _ => drop(reader.value()?),
        }
        Ok(())
    })?;
    Ok(host)
}

pub(super) fn print_service(service: &Service, out: &mut Vec<u8>) {
    let mut dict = Dict::open(out);
    dict.text("check_command", &service.check_command);
    dict.float("check_interval", service.check_interval);
    dict.list("contact_groups", &service.contact_groups);
    dict.list("contacts", &service.contacts);
    dict.texts("custom_variables", &service.custom_variables);
    dict.text("display_name", &service.display_name);
    dict.list("groups", &service.groups);
    dict.text("icon_image", &service.icon_image);
    if let Some(label_sources) = &service.label_sources {
        dict.texts("label_sources", label_sources);
    }
    dict.texts("labels", &service.labels);
    dict.attempts(service.max_check_attempts);
    dict.text("notes", &service.notes);
    dict.float("retry_interval", service.retry_interval);
    dict.close();
}

fn read_services(
    reader: &mut Reader<'_>,
    host: &Place<'_>,
) -> Result<BTreeMap<BString, Service>, Error> {
    let mut services = BTreeMap::new();
    host.dict(reader, "services", |reader, description, at| {
        let place = Place {
            service: Some(&description),
            ..*host
        };
        place.check_name(reader, &description, at)?;
        let service = read_service(reader, &place)?;
        services.insert(description, service);
        Ok(())
    })?;
    Ok(services)
}

fn read_service(reader: &mut Reader<'_>, place: &Place<'_>) -> Result<Service, Error> {
    let mut service = Service {
        max_check_attempts: 1,
        ..Service::default()
    };
    place.dict(reader, "", |reader, key, _| {
        match key.as_slice() {
            b"check_command" => service.check_command = place.text(reader, "check_command")?,
            b"check_interval" => service.check_interval = place.float(reader, "check_interval")?,
            b"contact_groups" => service.contact_groups = place.list(reader, "contact_groups")?,
            b"contacts" => service.contacts = place.list(reader, "contacts")?,
            b"custom_variables" => {
                service.custom_variables = place.texts(reader, "custom_variables")?;
            }
            b"display_name" => service.display_name = place.text(reader, "display_name")?,
            b"groups" => service.groups = place.list(reader, "groups")?,
            b"icon_image" => service.icon_image = place.text(reader, "icon_image")?,
            b"label_sources" => {
                service.label_sources = rare(place.texts(reader, "label_sources")?);
            }
            b"labels" => service.labels = place.texts(reader, "labels")?,
            b"max_check_attempts" => service.max_check_attempts = place.attempts(reader)?,
            b"notes" => service.notes = place.text(reader, "notes")?,
            b"retry_interval" => service.retry_interval = place.float(reader, "retry_interval")?,
            _ => drop(reader.value()?),
        }
        Ok(())
    })?;
    Ok(service)
}

fn rare(texts: BTreeMap<BString, BString>) -> RareTexts {
    (!texts.is_empty()).then(|| Box::new(texts))
}

/// Whose members are being read, so that an error can say so.
#[derive(Clone, Copy)]
struct Place<'a> {
    host: &'a BString,
    service: Option<&'a BString>,
}

impl Place<'_> {
    fn wrong(&self, reader: &Reader<'_>, at: usize, key: &str, what: String) -> Error {
        Error::Value {
            at: reader.position(at),
            host: self.host.clone(),
            service: self.service.cloned(),
            key: key.to_owned(),
            what,
        }
    }

    fn wrong_type(
        &self,
        reader: &Reader<'_>,
        at: usize,
        key: &str,
        wanted: &str,
        found: &Value,
    ) -> Error {
        let what = format!("must be {wanted}, not {}", found.type_name());
        self.wrong(reader, at, key, what)
    }

    fn check_name(&self, reader: &Reader<'_>, name: &[u8], at: usize) -> Result<(), Error> {
        let what = match name {
            name if is_name(name) => return Ok(()),
            b"" => "the name is empty",
            _ => "the name has a line feed or NUL in it",
        };
        Err(self.wrong(reader, at, "", what.to_owned()))
    }

    /// Reads a dict whose keys are strings; an entry under any other key is
    /// nothing that we know and is skipped.
    fn dict(
        &self,
        reader: &mut Reader<'_>,
        key: &str,
        mut entry: impl FnMut(&mut Reader<'_>, BString, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if reader.rest().first() != Some(&b'{') {
            let at = reader.at();
            let found = reader.value()?;
            return Err(self.wrong_type(reader, at, key, "a dict", &found));
        }
        reader.dict(|reader, name, at| match name {
            Value::Str(name) => entry(reader, name, at),
            _ => reader.value().map(drop),
        })
    }

    fn text(&self, reader: &mut Reader<'_>, key: &str) -> Result<BString, Error> {
        let at = reader.at();
        match reader.value()? {
            Value::Str(text) => Ok(text),
            Value::None => Ok(BString::default()),
            other => Err(self.wrong_type(reader, at, key, "a str", &other)),
        }
    }

    fn float(&self, reader: &mut Reader<'_>, key: &str) -> Result<f64, Error> {
        let at = reader.at();
        match reader.value()? {
            Value::Int(number) => Ok(number as f64),
            Value::Float(number) if number.is_finite() => Ok(number),
            Value::Float(_) => Err(self.wrong(reader, at, key, "is infinite".to_owned())),
            Value::None => Ok(0.0),
            other => Err(self.wrong_type(reader, at, key, "a number", &other)),
        }
    }

    fn attempts(&self, reader: &mut Reader<'_>) -> Result<u32, Error> {
        let (at, key) = (reader.at(), "max_check_attempts");
        match reader.value()? {
            Value::Int(number) => match u32::try_from(number) {
                Ok(number) => Ok(number.max(1)),
                Err(_) => Err(self.wrong(
                    reader,
                    at,
                    key,
                    format!("{number} is no number of attempts"),
                )),
            },
            Value::None => Ok(1),
            other => Err(self.wrong_type(reader, at, key, "an int", &other)),
        }
    }

    fn list(&self, reader: &mut Reader<'_>, key: &str) -> Result<Vec<BString>, Error> {
        let at = reader.at();
        let items = match reader.value()? {
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => items,
            Value::None => Vec::new(),
            other => return Err(self.wrong_type(reader, at, key, "a list of str", &other)),
        };
        let text = |item| match item {
            Value::Str(text) => Ok(text),
            other => Err(self.wrong_type(reader, at, key, "a list of str", &other)),
        };
        items.into_iter().map(text).collect()
    }

    fn texts(
        &self,
        reader: &mut Reader<'_>,
        key: &str,
    ) -> Result<BTreeMap<BString, BString>, Error> {
        if reader.rest().starts_with(b"None") {
            reader.value()?;
            return Ok(BTreeMap::new());
        }
        let mut texts = BTreeMap::new();
        self.dict(reader, key, |reader, name, _| {
            let text = self.text(reader, key)?;
            texts.insert(name, text);
            Ok(())
        })?;
        Ok(texts)
    }
}
