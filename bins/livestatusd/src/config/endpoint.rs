//! The tables `[[listen]]`: where else clients are listened to, what they get
//! there, and who they must be.
//!
//! | `serve` | without `client_ca` | with `client_ca` |
//! |---|---|---|
//! | `merged` | everybody: all sites | `clients`: all sites; a site: itself |
//! | `site`, `ingest` with `site` | everybody: that site | that site and `clients`: that site |
//! | `site`, `ingest` without `site` | not allowed | each site: itself |

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use net::server::ServerFiles;
use objects::SiteId;
use program::config::{Table, Value};

use super::{absolute, at_least_one, check_parent, check_socket};

/// One table `[[listen]]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Endpoint {
    /// Where.
    pub(crate) address: Address,
    /// What clients get.
    pub(crate) serve: Serve,
    /// Of which site, if it is not the certificate that says it.
    pub(crate) site: Option<SiteId>,
    /// Names in certificates of those who are let in besides sites.
    pub(crate) clients: Vec<SiteId>,
    /// Who may connect; everybody if it is empty.
    pub(crate) only_from: Vec<IpNet>,
    /// Connections at the same time, see [`Endpoint::connections`].
    pub(crate) connections: Option<usize>,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// Plain TCP.
    Tcp(SocketAddr),
    /// TLS, with these certificates.
    Tls(SocketAddr, ServerFiles),
}

/// What clients get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serve {
    /// Answers about all sites.
    Merged,
    /// Answers about one.
    Site,
    /// Nothing: they deliver dumps of one.
    Ingest,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Tls(address, _) => write!(f, "tls:{address}"),
        }
    }
}

impl Endpoint {
    /// Whether a client from there is let in.
    pub(crate) fn lets_in(&self, client: IpAddr) -> bool {
        // An IPv6 socket may show IPv4 clients in its own way.
        let client = client.to_canonical();
        self.only_from.is_empty() || self.only_from.iter().any(|net| net.contains(&client))
    }

    /// How many connections there may be at the same time, of `all` everywhere.
    /// A listener on the network leaves some for this machine.
    pub(crate) fn connections(&self, all: usize) -> usize {
        let default = match self.address {
            Address::Unix(_) => all,
            Address::Tcp(_) | Address::Tls(..) => all - all / 4,
        };
        self.connections.unwrap_or(default)
    }

    /// Whether clients must show certificates.
    pub(crate) fn asks_for_certificates(&self) -> bool {
        matches!(&self.address, Address::Tls(_, files) if files.client_ca.is_some())
    }

    /// What is allowed, but may not be what was meant.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match &self.address {
            Address::Tcp(address) if !is_local(*address) => warnings.push(format!(
                "{} is plain text: whoever is on the way can read and change everything",
                self.address
            )),
            Address::Tls(address, files)
                if files.client_ca.is_none()
                    && self.only_from.is_empty()
                    && !is_local(*address) =>
            {
                warnings.push(format!(
                    "{} has neither `client_ca` nor `only_from`: it is open to whoever can reach it",
                    self.address
                ));
            }
            _ => {}
        }
        warnings
    }
}

fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Takes all tables `[[listen]]`.
pub(super) fn endpoints(root: &mut Table, problems: &mut Vec<String>) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for mut table in root.take_tables("listen", problems) {
        let before = problems.len();
        let endpoint = endpoint(&mut table, problems);
        if let Some(endpoint) = endpoint
            && problems.len() == before
        {
            if endpoints.iter().any(|other| other.is_at(&endpoint)) {
                problems.push(table.problem(&format!("{} is there twice", endpoint.address)));
            }
            endpoints.push(endpoint);
        }
        table.finish(problems);
    }
    endpoints
}

impl Endpoint {
    fn is_at(&self, other: &Self) -> bool {
        let port = |address: &Address| match address {
            Address::Unix(_) => None,
            Address::Tcp(address) | Address::Tls(address, _) => Some(*address),
        };
        match (&self.address, &other.address) {
            (Address::Unix(one), Address::Unix(two)) => one == two,
            // With port 0 the system finds one.
            (one, two) => port(one).is_some_and(|at| at.port() != 0 && Some(at) == port(two)),
        }
    }

    /// What can be checked without changing anything.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        match &self.address {
            Address::Unix(path) => {
                check_socket(path, problems);
                check_parent("address", path, problems);
            }
            Address::Tcp(_) => {}
            Address::Tls(_, files) => {
                if let Err(error) = net::server::Server::load(files) {
                    problems.push(program::exit::chain(&error));
                }
            }
        }
    }
}

fn endpoint(table: &mut Table, problems: &mut Vec<String>) -> Option<Endpoint> {
    let place = table.require("address", place, problems);
    let serve = table.take("serve", serve, problems);
    let site = table.take("site", site, problems);
    let clients = table.take("clients", sites, problems);
    let only_from = table.take("only_from", networks, problems);
    let plain_text = table.take("plain_text", Table::boolean, problems);
    let connections = table.take("connections", at_least_one, problems);
    let [certificate, key, client_ca, crl] = ["certificate", "key", "client_ca", "crl"]
        .map(|key| (key, table.take(key, absolute, problems)));
    let (scheme, place) = place?;
    let mut complain = |what: &str| problems.push(table.problem(what));

    let for_tls = [&certificate, &key, &client_ca, &crl];
    if scheme != Scheme::Tls {
        for (key, _) in for_tls.into_iter().filter(|(_, path)| path.is_some()) {
            complain(&format!("`{key}` is for addresses that begin with tls:"));
        }
    }
    if scheme != Scheme::Tcp && plain_text.is_some() {
        complain("`plain_text` is for addresses that begin with tcp:");
    }
    if scheme == Scheme::Unix && only_from.is_some() {
        complain("`only_from` is for addresses that begin with tcp: or tls:");
    }
    let asks = scheme == Scheme::Tls && client_ca.1.is_some();
    if scheme == Scheme::Tls && crl.1.is_some() && !asks {
        complain("`crl` is about clients' certificates and needs `client_ca`");
    }
    if clients.is_some() && !asks {
        complain("`clients` are names in certificates and need `client_ca`");
    }
    let serve = serve.unwrap_or(Serve::Merged);
    match (serve, &site) {
        (Serve::Merged, Some(_)) => {
            complain("`site` is for `serve = \"site\"` and `serve = \"ingest\"`");
        }
        (Serve::Merged, None) if asks && clients.is_none() => complain(
            "`clients` is missing: with `client_ca` it names who may see all sites; any other \
             certificate gets the site it is for",
        ),
        (Serve::Site | Serve::Ingest, None) if !asks => {
            complain("`site` is missing: without `client_ca` nothing tells which site is meant");
        }
        (Serve::Site | Serve::Ingest, None) if clients.is_some() => {
            complain("`clients` needs `site`: what else would they get?");
        }
        _ => {}
    }
    let address = match (scheme, place) {
        (Scheme::Unix, Place::Path(path)) => Address::Unix(path),
        (Scheme::Tcp, Place::Port(address)) => {
            if !is_local(address) && plain_text != Some(true) {
                complain(
                    "plain text on a network needs `plain_text = true`; rather use tls: or a \
                     loopback address",
                );
            }
            Address::Tcp(address)
        }
        (Scheme::Tls, Place::Port(address)) => {
            let files = certificate.1.zip(key.1);
            let Some((certificate, key)) = files else {
                complain("TLS needs `certificate` and `key`");
                return None;
            };
            let files = ServerFiles {
                certificate,
                key,
                client_ca: client_ca.1,
                crl: crl.1,
            };
            Address::Tls(address, files)
        }
        _ => return None,
    };
    Some(Endpoint {
        address,
        serve,
        site,
        clients: clients.unwrap_or_default(),
        only_from: only_from.unwrap_or_default(),
        connections,
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Scheme {
    Unix,
    Tcp,
    Tls,
}

enum Place {
    Path(PathBuf),
    Port(SocketAddr),
}

fn place(value: Value) -> Result<(Scheme, Place), String> {
    let text = Table::text(value)?;
    let port = |text: &str| text.parse().ok().map(Place::Port);
    let parsed = if let Some(path) = text.strip_prefix("unix:") {
        let is_absolute = Path::new(path).is_absolute();
        is_absolute.then(|| (Scheme::Unix, Place::Path(path.into())))
    } else if let Some(rest) = text.strip_prefix("tcp:") {
        port(rest).map(|place| (Scheme::Tcp, place))
    } else if let Some(rest) = text.strip_prefix("tls:") {
        port(rest).map(|place| (Scheme::Tls, place))
    } else {
        None
    };
    parsed.ok_or_else(|| {
        "must have the form unix:/PATH, tcp:IP:PORT or tls:IP:PORT, an IPv6 address in brackets"
            .to_owned()
    })
}

fn serve(value: Value) -> Result<Serve, String> {
    match Table::text(value)?.as_str() {
        "merged" => Ok(Serve::Merged),
        "site" => Ok(Serve::Site),
        "ingest" => Ok(Serve::Ingest),
        _ => Err("must be `merged`, `site` or `ingest`".to_owned()),
    }
}

fn site(value: Value) -> Result<SiteId, String> {
    parse_site(&Table::text(value)?)
}

fn sites(value: Value) -> Result<Vec<SiteId>, String> {
    some(Table::texts(value)?, parse_site)
}

fn parse_site(text: &str) -> Result<SiteId, String> {
    SiteId::new(text).map_err(|error| format!("is wrong: {error}"))
}

/// Addresses, and networks whose bits beyond the prefix are 0: what else was
/// meant nobody knows.
fn networks(value: Value) -> Result<Vec<IpNet>, String> {
    some(Table::texts(value)?, |text| {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(IpNet::from(address.to_canonical()));
        }
        let net: IpNet = text
            .parse()
            .map_err(|_| format!("has {text:?}, which is no address and no network"))?;
        if net.addr() == net.network() {
            Ok(net)
        } else {
            Err(format!("has {text:?}; is {} meant?", net.trunc()))
        }
    })
}

fn some<T>(
    texts: Vec<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    if texts.is_empty() {
        return Err("must not be empty".to_owned());
    }
    texts.iter().map(|text| parse(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Vec<Endpoint>, Vec<String>) {
        let mut problems = Vec::new();
        let mut root = Table::parse("x", text, &mut problems);
        let endpoints = endpoints(&mut root, &mut problems);
        root.finish(&mut problems);
        (endpoints, problems)
    }

    #[test]
    fn every_kind_of_listener_can_be_had() {
        let tls = "certificate = '/c'\nkey = '/k'\n";
        let text = format!(
            "[[listen]]\naddress = 'unix:/run/x'\n\
             [[listen]]\naddress = 'tcp:127.0.0.1:6557'\nserve = 'site'\nsite = 'b'\n\
             [[listen]]\naddress = 'tcp:0.0.0.0:6558'\nplain_text = true\nonly_from = ['10.0.0.0/8', '::1']\n\
             [[listen]]\naddress = 'tls:[::]:6557'\n{tls}client_ca = '/ca'\nclients = ['noc']\nconnections = 9\n\
             [[listen]]\naddress = 'tls:0.0.0.0:6559'\nserve = 'ingest'\n{tls}client_ca = '/ca'\ncrl = '/crl'\n"
        );
        let (endpoints, problems) = parse(&text);
        assert!(problems.is_empty(), "{problems:#?}");
        let names: Vec<String> = endpoints.iter().map(|e| e.address.to_string()).collect();
        assert_eq!(
            names,
            [
                "/run/x",
                "tcp:127.0.0.1:6557",
                "tcp:0.0.0.0:6558",
                "tls:[::]:6557",
                "tls:0.0.0.0:6559"
            ]
        );
        let kinds: Vec<Serve> = endpoints.iter().map(|e| e.serve).collect();
        use Serve::{Ingest, Merged, Site};
        assert_eq!(kinds, [Merged, Site, Merged, Merged, Ingest]);
        let limits: Vec<usize> = endpoints.iter().map(|e| e.connections(4096)).collect();
        assert_eq!(limits, [4096, 3072, 3072, 9, 3072]);
        let warned: Vec<usize> = endpoints.iter().map(|e| e.warnings().len()).collect();
        assert_eq!(warned, [0, 0, 1, 0, 0]);
    }

    #[test]
    fn clients_come_from_where_they_may() {
        let (endpoints, _) = parse(
            "[[listen]]\naddress = 'tcp:[::1]:1'\nonly_from = ['10.1.0.0/16', '192.0.2.7', '2001:db8::/32', '::ffff:198.51.100.1']\n\
             [[listen]]\naddress = 'tcp:[::1]:2'\n",
        );
        for (client, want) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:10.2.2.3", false),
            ("::10.1.2.3", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("198.51.100.1", true),
            ("::1", false),
        ] {
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(endpoints[0].lets_in(client), want, "{client}");
            assert!(endpoints[1].lets_in(client), "{client}");
        }
    }

    #[test]
    fn what_would_open_more_than_was_meant_is_refused() {
        let tls = "address = 'tls:0.0.0.0:1'\ncertificate = '/c'\nkey = '/k'\n";
        for (text, want) in [
            ("", "`address` is missing in [listen]"),
            ("address = 'localhost:1'", "must have the form unix:/PATH"),
            (
                "address = 'tcp:localhost:1'",
                "must have the form unix:/PATH",
            ),
            ("address = 'tcp:::1:1'", "must have the form unix:/PATH"),
            ("address = 'unix:live'", "must have the form unix:/PATH"),
            ("address = 'tcp:0.0.0.0:1'", "plain text on a network needs"),
            (
                "address = 'tcp:[::]:1'\nplain_text = false",
                "plain text on a network needs",
            ),
            (
                "address = 'tcp:192.0.2.1:1'",
                "plain text on a network needs",
            ),
            (
                "address = 'tls:0.0.0.0:1'\nkey = '/k'",
                "TLS needs `certificate` and `key`",
            ),
            (
                "address = 'tls:0.0.0.0:1'\nkey = 'k'",
                "must be an absolute path",
            ),
            (
                "address = 'tcp:127.0.0.1:1'\nclient_ca = '/ca'",
                "`client_ca` is for addresses that begin with tls:",
            ),
            (
                "address = 'unix:/x'\nonly_from = ['::1']",
                "`only_from` is for addresses",
            ),
            (
                "address = 'tcp:[::1]:1'\nonly_from = []",
                "must not be empty",
            ),
            (
                "address = 'tcp:[::1]:1'\nonly_from = ['10.0.0.1/8']",
                "is 10.0.0.0/8 meant?",
            ),
            (
                "address = 'tcp:[::1]:1'\nonly_from = ['localhost']",
                "no address and no network",
            ),
            (
                "address = 'tcp:[::1]:1'\nclients = ['noc']",
                "need `client_ca`",
            ),
            (
                "address = 'tcp:[::1]:1'\nserve = 'all'",
                "must be `merged`, `site` or `ingest`",
            ),
            (
                "address = 'tcp:[::1]:1'\nserve = 'ingest'",
                "`site` is missing",
            ),
            ("address = 'tcp:[::1]:1'\nsite = 'a'", "`site` is for"),
            (
                "address = 'tcp:[::1]:1'\nserve = 'site'\nsite = '../a'",
                "is not a site id",
            ),
            ("address = 'tcp:[::1]:1'\nport = 1", "unknown key `port`"),
            (&format!("{tls}serve = 'site'"), "`site` is missing"),
            (&format!("{tls}client_ca = '/ca'"), "`clients` is missing"),
            (
                &format!("{tls}client_ca = '/ca'\nclients = []"),
                "must not be empty",
            ),
            (
                &format!("{tls}client_ca = '/ca'\nserve = 'ingest'\nclients = ['noc']"),
                "`clients` needs `site`",
            ),
            (&format!("{tls}crl = '/crl'"), "needs `client_ca`"),
            (&format!("{tls}plain_text = true"), "`plain_text` is for"),
            (
                &format!("{tls}[[listen]]\n{tls}"),
                "tls:0.0.0.0:1 is there twice",
            ),
        ] {
            let (_, problems) = parse(&format!("[[listen]]\n{text}\n"));
            assert!(
                problems.iter().any(|problem| problem.contains(want)),
                "{text}: {problems:#?}"
            );
        }
    }
}
