//! When objects were checked that are otherwise as they were, host by host.
//!
//! Every object is checked all the time, so these times are most of what changes.
//! They are told without names, in the order of the services of each host, which
//! takes some bytes of memory for each of them until all have come.

use std::collections::HashMap;

use bstr::BString;
use livestatus::dump::{CheckedHost, names_sum};
use objects::UnixTime;

/// The times that have come.
#[derive(Default)]
pub(crate) struct CheckTimes {
    hosts: Vec<(BString, Option<UnixTime>)>,
    places: HashMap<BString, u32>,
    services: Vec<Service>,
    /// All descriptions, one behind the other.
    descriptions: Vec<u8>,
}

struct Service {
    host: u32,
    begin: u32,
    end: u32,
    last_check: Option<UnixTime>,
}

impl CheckTimes {
    /// A host, and when it was checked if that is all to be told of it.
    pub(crate) fn host(&mut self, name: &BString, last_check: Option<UnixTime>) {
        if let Ok(place) = u32::try_from(self.hosts.len()) {
            self.places.insert(name.clone(), place);
            self.hosts.push((name.clone(), last_check));
        }
    }

    /// A service of a host that has come.
    pub(crate) fn service(
        &mut self,
        host_name: &BString,
        description: &BString,
        last_check: Option<UnixTime>,
    ) {
        let begin = self.descriptions.len();
        let (Some(host), Ok(begin), Ok(end)) = (
            self.places.get(host_name),
            u32::try_from(begin),
            u32::try_from(begin + description.len()),
        ) else {
            return;
        };
        self.descriptions.extend_from_slice(description);
        self.services.push(Service {
            host: *host,
            begin,
            end,
            last_check,
        });
    }

    /// The hosts of which there is anything to be told.
    pub(crate) fn hosts(&mut self) -> impl Iterator<Item = CheckedHost> {
        let Self {
            hosts,
            services,
            descriptions,
            ..
        } = self;
        let descriptions = &descriptions[..];
        let description = |service: &Service| -> &[u8] {
            &descriptions[service.begin as usize..service.end as usize]
        };
        services.sort_unstable_by(|a, b| (a.host, description(a)).cmp(&(b.host, description(b))));
        let mut rest = &services[..];
        hosts.iter().enumerate().filter_map(move |(place, host)| {
            let count = rest.partition_point(|service| service.host as usize <= place);
            let (services, others) = rest.split_at(count);
            rest = others;
            let (host_name, last_check) = host;
            let mut last_checks = vec![*last_check];
            last_checks.extend(services.iter().map(|service| service.last_check));
            let is_news = last_checks.iter().any(Option::is_some);
            is_news.then(|| CheckedHost {
                names: names_sum(
                    services
                        .iter()
                        .map(|service| &descriptions[service.begin as usize..service.end as usize]),
                ),
                host_name: host_name.clone(),
                last_checks,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_in_the_order_of_the_descriptions() {
        let mut times = CheckTimes::default();
        let time = |secs| Some(UnixTime::from_secs(secs));
        for (host, last_check) in [("b", time(1)), ("quiet", None), ("a", None)] {
            times.host(&host.into(), last_check);
        }
        for (host, description, last_check) in [
            ("a", "z", time(3)),
            ("b", "y", None),
            ("a", "c", time(2)),
            ("stranger", "x", time(9)),
            ("quiet", "x", None),
            ("a", "m", None),
        ] {
            times.service(&host.into(), &description.into(), last_check);
        }
        let hosts: Vec<_> = times.hosts().collect();
        let want = |name: &str, descriptions: &[&str], last_checks| CheckedHost {
            host_name: name.into(),
            names: names_sum(descriptions.iter().map(|name| name.as_bytes())),
            last_checks,
        };
        assert_eq!(
            hosts,
            [
                want("b", &["y"], vec![time(1), None]),
                want("a", &["c", "m", "z"], vec![None, time(2), None, time(3)]),
            ]
        );
    }
}
