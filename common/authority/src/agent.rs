//! Certificates of monitoring agents, and of the one who asks them.
//!
//! An agent's certificate names its host in a URI, `sitewire:agent:HOST`, and
//! is good for a server only: as every agent believes whoever has a client's
//! certificate of the authority, one with which an agent could pose as a client
//! would open all others.

use std::net::IpAddr;

use rcgen::{ExtendedKeyUsagePurpose, SanType};

use crate::ca::{Issued, Purpose};
use crate::{AGENT_URI, Authority, Error, Key, Lifetime, Request, Shape};

/// Name in the certificate of the one who asks.
const POLLER: &str = "agentpoll";
/// Longest common name that a certificate can have.
const MAX_COMMON_NAME: usize = 64;

impl Authority {
    /// Signs what an agent asks for, as the one of this host. What the request
    /// says of names does not count; by `address`, a name or an IP address,
    /// clients find it that know nothing of hosts.
    pub fn sign_agent(
        &self,
        host_name: &str,
        address: &str,
        request: &Request,
        lifetime: Lifetime,
    ) -> Result<Issued, Error> {
        let mut names = vec![uri(&agent_uri(host_name))?];
        names.extend(host_san(address));
        let purpose = Purpose {
            names,
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
        };
        let name: String = host_name.chars().take(MAX_COMMON_NAME).collect();
        self.sign_for(&name, purpose, request.public_key(), lifetime)
    }

    /// A key and a certificate for the one who asks agents.
    pub fn issue_poller(&self, lifetime: Lifetime) -> Result<(Key, Issued), Error> {
        let key = Key::generate(Shape::default())?;
        let purpose = Purpose {
            names: vec![uri("sitewire:agentpoll")?],
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        let issued = self.sign_for(POLLER, purpose, &key.public_key(), lifetime)?;
        Ok((key, issued))
    }
}

/// The name by which the agent of a host is known.
pub fn agent_uri(host_name: &str) -> String {
    format!("{AGENT_URI}{}", percent_encoded(host_name))
}

/// A text in characters that can stand in a URI, or in the name of a file.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn uri(text: &str) -> Result<SanType, Error> {
    text.try_into()
        .map(SanType::URI)
        .map_err(Error::crypto("a name"))
}

/// None for what cannot be the name of a machine.
fn host_san(address: &str) -> Option<SanType> {
    if let Ok(ip) = address.parse::<IpAddr>() {
        return Some(SanType::IpAddress(ip));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if address.is_empty() || address.len() > 253 || !address.chars().all(is_name) {
        return None;
    }
    address.try_into().map(SanType::DnsName).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_names_that_a_certificate_can_carry() {
        for (name, want) in [
            ("web1", "sitewire:agent:web1"),
            ("web1.example.org", "sitewire:agent:web1.example.org"),
            ("Büro 1/2", "sitewire:agent:B%C3%BCro%201%2F2"),
        ] {
            assert_eq!(agent_uri(name), want);
        }
        assert_eq!(host_san("web 1"), None);
        let ip = "::1".parse().unwrap();
        assert_eq!(host_san("::1"), Some(SanType::IpAddress(ip)));
    }
}
