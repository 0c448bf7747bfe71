//! Where an agent is: a name or an address, and a port.

use std::fmt;

/// The port that agents listen on.
pub(crate) const PORT: u16 = 3333;

/// A name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Without the brackets of IPv6.
    pub(crate) address: String,
    pub(crate) port: u16,
}

/// A URL of an agent, as `http://web1:3333`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) is_tls: bool,
    pub(crate) place: Place,
}

impl Url {
    /// None if that is no URL at all.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, String>> {
        let (is_tls, rest) = match text.strip_prefix("http://") {
            Some(rest) => (false, rest),
            None => (true, text.strip_prefix("https://")?),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let place = Place::parse(rest).map_err(|why| format!("{text}: {why}"));
        Some(place.map(|place| Self { is_tls, place }))
    }
}

impl Place {
    /// `HOST`, `HOST:PORT`, `[IPV6]:PORT` or a bare IPv6 address.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is not HOST, HOST:PORT or [IPV6]:PORT";
        let whole = |address: &str| (address.to_owned(), PORT);
        let (address, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']').ok_or(FORM)? {
                (address, "") => whole(address),
                (address, port) => {
                    let port = port.strip_prefix(':').ok_or(FORM)?;
                    (address.to_owned(), parse_port(port).ok_or(FORM)?)
                }
            },
            None if text.matches(':').count() > 1 => whole(text),
            None => match text.split_once(':') {
                None => whole(text),
                Some((address, port)) => (address.to_owned(), parse_port(port).ok_or(FORM)?),
            },
        };
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        if address.is_empty() || !address.chars().all(is_allowed) {
            return Err(FORM);
        }
        Ok(Self { address, port })
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.contains(':') {
            true => write!(f, "[{}]:{}", self.address, self.port),
            false => write!(f, "{}:{}", self.address, self.port),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_names_and_addresses_with_or_without_a_port() {
        for (text, want) in [
            ("web1", "web1:3333"),
            ("web1:4444", "web1:4444"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("2001:db8::1", "[2001:db8::1]:3333"),
            ("[2001:db8::1]", "[2001:db8::1]:3333"),
            ("[fe80::1%eth0]:99", "[fe80::1%eth0]:99"),
        ] {
            assert_eq!(Place::parse(text).unwrap().to_string(), want);
        }
        for text in [
            "", ":1", "web1:", "web1:0", "web1:x", "[::1", "[::1]x", "a b", "a/b",
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_say_whether_there_is_tls() {
        assert_eq!(Url::parse("web1.json"), None);
        let url = Url::parse("https://[::1]:3333/").unwrap().unwrap();
        assert_eq!(url.to_string(), "https://[::1]:3333");
        assert!(Url::parse("http://web1/x").unwrap().is_err());
    }
}
