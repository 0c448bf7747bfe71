//! Headers of queries that the command line gives: read as the server would
//! read them, so that what is wrong with them is told before it is asked.

use livestatus::{Query, Request, RequestReader};
use program::{Failure, Status};

use crate::cli::Choice;

/// What is asked of the tables of hosts and services.
pub(crate) fn read(choice: &Choice) -> Result<[Query; 2], Failure> {
    let of_hosts = choice.host_only_header.iter().chain(&choice.host_header);
    let of_services = choice.host_header.iter().chain(&choice.service_header);
    Ok([parse("hosts", of_hosts)?, parse("services", of_services)?])
}

fn parse<'a>(table: &str, headers: impl Iterator<Item = &'a String>) -> Result<Query, Failure> {
    let mut request = format!("GET {table}\n");
    for header in headers {
        let name = header.split(':').next().unwrap_or_default();
        if header.contains('\n') {
            return Err(wrong(header, "it is more than one line"));
        }
        if OURS.contains(&name.trim()) {
            return Err(wrong(
                header,
                "what is asked for, and in which form, is not for you to say",
            ));
        }
        request.push_str(header);
        request.push('\n');
    }
    request.push('\n');
    let mut reader = RequestReader::new(livestatus::request::Limits::default());
    reader.push(request.as_bytes());
    match reader.poll_request() {
        Some(Ok(Request::Query(query))) => Ok(query),
        Some(Err(error)) => Err(wrong(table, &error.message)),
        _ => Err(wrong(table, "the headers do not make a query")),
    }
}

/// Headers that would change what comes back.
const OURS: [&str; 9] = [
    "Columns",
    "ColumnHeaders",
    "OutputFormat",
    "ResponseHeader",
    "Separators",
    "KeepAlive",
    "Stats",
    "StatsGroupBy",
    "Localtime",
];

fn wrong(what: &str, why: &str) -> Failure {
    Failure::new(Status::Usage, format!("header {what:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(host_only: &[&str], host: &[&str], service: &[&str]) -> Choice {
        let own = |headers: &[&str]| headers.iter().map(|h| (*h).to_owned()).collect();
        Choice {
            host_only_header: own(host_only),
            host_header: own(host),
            service_header: own(service),
            illegal_characters: String::new(),
        }
    }

    #[test]
    fn each_header_goes_where_it_belongs_in_the_order_given() {
        let choice = choice(
            &["Filter: name = a"],
            &["Filter: host_name = b", "Or: 2"],
            &["Filter: description = c", "AuthUser: d"],
        );
        // The services have but one filter before the Or.
        assert!(read(&choice).is_err());
        let choice = Choice {
            host_header: vec!["Filter: host_name = b".to_owned()],
            ..choice
        };
        let [hosts, services] = read(&choice).unwrap();
        assert_eq!((hosts.filters.len(), hosts.auth_user), (2, None));
        assert_eq!(services.filters.len(), 2);
        assert_eq!(services.auth_user.unwrap(), "d");
    }

    #[test]
    fn headers_that_are_wrong_or_ours_are_refused() {
        for (header, want) in [
            ("Filter: x\nColumns: y", "more than one line"),
            ("Columns: name", "not for you to say"),
            ("OutputFormat: csv", "not for you to say"),
            ("Nonsense: 1", "undefined request header"),
            ("And: 2", "And"),
        ] {
            let failure = read(&choice(&[], &[], &[header])).unwrap_err();
            assert_eq!(failure.status(), Status::Usage);
            assert!(failure.to_string().contains(want), "{failure}");
        }
    }
}
