//! The section `[sitewire]`: what only this agent knows. The original ignores
//! it, so that a file with it serves both.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use ipnet::IpNet;

use super::{FirstExchange, KeyType, Keys};

/// Longest token in its file, in bytes.
const MAX_TOKEN: usize = 4096;
/// Fewer characters can be guessed.
const MIN_TOKEN: usize = 16;

/// What it says.
pub(super) struct Own {
    /// Whether the defaults of the other sections are ours, and not those of
    /// the original.
    pub(super) safe: bool,
    pub(super) key_type: KeyType,
    pub(super) first: FirstExchange,
    pub(super) connections: usize,
    pub(super) workers: usize,
    pub(super) output: usize,
    pub(super) checkmk_address: Option<String>,
    pub(super) checkmk_from: Vec<IpNet>,
    pub(super) chrony: SocketAddr,
    pub(super) ntp: SocketAddr,
}

pub(super) fn read(keys: &mut Keys<'_, '_>) -> Own {
    let safe = match keys.text("defaults", "original").as_str() {
        "safe" => true,
        "original" => false,
        other => {
            keys.refuse(
                "defaults",
                format!("`defaults = {other}` is neither safe nor original"),
            );
            true
        }
    };
    let address = keys.text("checkmk-address", "");
    if !address.is_empty() && !has_port(&address) {
        keys.refuse(
            "checkmk-address",
            format!("`{address}` is not of the form ADDRESS:PORT"),
        );
    }
    Own {
        safe,
        key_type: key_type(keys),
        first: first_exchange(keys, safe),
        connections: positive(keys, "max-connections", 256),
        workers: positive(keys, "customcheck-workers", 8),
        output: positive(keys, "customcheck-output", 1 << 20),
        checkmk_address: Some(address).filter(|address| !address.is_empty()),
        checkmk_from: networks(keys, "checkmk-from"),
        chrony: local_port(keys, "chrony-address", 323),
        ntp: local_port(keys, "ntp-address", 123),
    }
}

fn key_type(keys: &mut Keys<'_, '_>) -> KeyType {
    match keys.text("autossl-key-type", "ecdsa").as_str() {
        "ecdsa" => KeyType::Ecdsa,
        "rsa" => KeyType::Rsa,
        other => {
            let text = format!("`autossl-key-type = {other}` is neither ecdsa nor rsa");
            keys.refuse("autossl-key-type", text);
            KeyType::Ecdsa
        }
    }
}

fn first_exchange(keys: &mut Keys<'_, '_>, safe: bool) -> FirstExchange {
    let token = keys.secret("autossl-token");
    let token = match keys.path("autossl-token-file", Path::new("")) {
        path if path.as_os_str().is_empty() => token,
        path => match fs::read(&path) {
            Ok(bytes) if bytes.len() <= MAX_TOKEN => {
                String::from_utf8_lossy(&bytes).trim().to_owned()
            }
            Ok(_) => {
                keys.refuse(
                    "autossl-token-file",
                    format!("{} is too long", path.display()),
                );
                token
            }
            Err(error) => {
                let text = format!("cannot read {}: {error}", path.display());
                keys.refuse("autossl-token-file", text);
                token
            }
        },
    };
    if !token.is_empty() && token.len() < MIN_TOKEN {
        let text = format!("the token is shorter than {MIN_TOKEN} characters: it can be guessed");
        keys.warn("autossl-token", text);
    }
    FirstExchange {
        token: Some(token).filter(|token| !token.is_empty()),
        peers: networks(keys, "autossl-peers"),
        ca_fingerprint: fingerprint(keys),
        restricted: safe,
        hides: keys.flag("autossl-hide-results", safe),
    }
}

/// As `openssl x509 -fingerprint -sha256` prints it, with or without colons.
fn fingerprint(keys: &mut Keys<'_, '_>) -> Option<[u8; 32]> {
    const KEY: &str = "autossl-ca-fingerprint";
    let text = keys.text(KEY, "");
    if text.is_empty() {
        return None;
    }
    let digits = text.replace([':', ' '], "");
    let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
    let fingerprint = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    if fingerprint.is_none() {
        keys.refuse(
            KEY,
            format!("`{KEY}` is not a SHA-256 in 64 hexadecimal digits"),
        );
    }
    fingerprint
}

/// Addresses and networks, separated by commas.
fn networks(keys: &mut Keys<'_, '_>, key: &'static str) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in keys.list(key, "") {
        let text = text.trim();
        let network = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| ()));
        match network {
            Ok(network) => networks.push(network),
            Err(()) => keys.refuse(key, format!("`{text}` in `{key}` is no address or network")),
        }
    }
    networks
}

fn positive(keys: &mut Keys<'_, '_>, key: &'static str, default: usize) -> usize {
    let number = keys.integer(key, default as i64);
    match usize::try_from(number) {
        Ok(number) if number > 0 => number,
        _ => {
            keys.refuse(key, format!("`{key}` must be at least 1"));
            default
        }
    }
}

/// An address with its port; without the key that port of this machine.
fn local_port(keys: &mut Keys<'_, '_>, key: &'static str, port: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let text = keys.text(key, &usual.to_string());
    text.parse().unwrap_or_else(|_| {
        keys.refuse(key, format!("`{text}` is not of the form ADDRESS:PORT"));
        usual
    })
}

fn has_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}
