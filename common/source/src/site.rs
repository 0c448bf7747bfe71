//! The name of the site, and which of the server's objects belong to it.

use std::collections::BTreeMap;

use livestatus::filter::Comparison;
use livestatus::{Filter, Operator, Query, Server};
use objects::SiteId;
use program::{Failure, Status};

use crate::Source;

/// A site and how to ask for it.
#[derive(Debug)]
pub struct Scope {
    /// Its name.
    pub site: SiteId,
    /// What its objects have in common, where the server has others, too.
    filter: Option<Filter>,
    /// What is asked of a table beyond that.
    narrowed: BTreeMap<String, Query>,
}

impl Scope {
    fn new(site: SiteId, filter: Option<Filter>) -> Self {
        Self {
            site,
            filter,
            narrowed: BTreeMap::new(),
        }
    }

    /// Asks for a table only with the headers of `query`.
    pub fn narrow(&mut self, query: Query) {
        self.narrowed.insert(query.table.clone(), query);
    }

    /// A query for the rows of this site.
    pub fn query(&self, table: &str, columns: &[&str]) -> Query {
        let plain = Query::rows(table, columns.iter().copied());
        let mut query = match self.narrowed.get(table) {
            None => plain,
            Some(query) => Query {
                columns: plain.columns,
                output_format: plain.output_format,
                column_headers: plain.column_headers,
                fixed16: plain.fixed16,
                ..query.clone()
            },
        };
        query.filters.extend(self.filter.clone());
        query
    }
}

/// Takes the name given, else `OMD_SITE`, else the only one that the server
/// knows. A `livestatusd` that holds several sites is dumped site by site: host
/// names are unique only within one.
pub fn choose(given: Option<&SiteId>, source: &Source) -> Result<Scope, Failure> {
    let named = match given {
        Some(site) => Some(site.clone()),
        None => from_environment()?,
    };
    let sites = match source.server() {
        Server::Livestatusd => sites_of(source)?,
        _ => Vec::new(),
    };
    match (named, sites.as_slice()) {
        (Some(site), [] | [_]) => Ok(Scope::new(site, None)),
        (None, [only]) => Ok(Scope::new(only.clone(), None)),
        (Some(site), several) if several.contains(&site) => {
            let filter = Filter::Compare {
                column: "site".into(),
                operator: Operator {
                    comparison: Comparison::Equal,
                    negated: false,
                },
                value: site.as_str().into(),
            };
            Ok(Scope::new(site, Some(filter)))
        }
        (Some(site), several) => Err(Failure::new(
            Status::Usage,
            format!("the server has no site {site}, only {}", list(several)),
        )),
        (None, []) => Err(Failure::new(
            Status::Usage,
            "which site is this? Name it with --site, or set OMD_SITE",
        )),
        (None, several) => Err(Failure::new(
            Status::Usage,
            format!(
                "the server has several sites, choose one with --site: {}",
                list(several)
            ),
        )),
    }
}

fn from_environment() -> Result<Option<SiteId>, Failure> {
    let Some(name) = std::env::var_os("OMD_SITE").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    SiteId::new(&name.to_string_lossy())
        .map(Some)
        .map_err(|error| Failure::caused(Status::Usage, "OMD_SITE", error))
}

fn sites_of(source: &Source) -> Result<Vec<SiteId>, Failure> {
    let mut sites = Vec::new();
    source.each_row(&Query::rows("sites", ["site"]), |row| {
        sites.extend(SiteId::new(&row.cell(0).text().to_string()));
        Ok(())
    })?;
    Ok(sites)
}

/// The first few, for a message.
fn list(sites: &[SiteId]) -> String {
    let mut names: Vec<&str> = sites.iter().take(10).map(SiteId::as_str).collect();
    if sites.len() > names.len() {
        names.push("...");
    }
    names.join(", ")
}
