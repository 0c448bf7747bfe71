//! The table `[authority]` of notifyd.toml: notifyd answers sites that want to
//! join, and sitecert invites them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use program::config::{Table, Value};

use crate::invitation::is_address;

/// How long a certificate is valid if nothing else is said.
pub const LIFETIME: Duration = Duration::from_secs(365 * 86_400);

/// What the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the authority is.
    pub directory: PathBuf,
    /// How long certificates are valid that sites get by themselves.
    pub lifetime: Duration,
    /// Where sites that join find us.
    pub address: Option<String>,
}

impl Settings {
    /// Reads the table.
    pub fn parse(mut table: Table, problems: &mut Vec<String>) -> Option<Self> {
        let directory = table.require("directory", Table::path, problems);
        let lifetime = table.take("lifetime", lifetime, problems);
        let address = table.take("address", address, problems);
        table.finish(problems);
        Some(Self {
            directory: directory?,
            lifetime: lifetime.unwrap_or(LIFETIME),
            address,
        })
    }
}

fn lifetime(value: Value) -> Result<Duration, String> {
    let lifetime = Table::duration(value)?;
    if lifetime < Duration::from_secs(3600) {
        return Err("must be an hour at least".to_owned());
    }
    Ok(lifetime)
}

fn address(value: Value) -> Result<String, String> {
    let address = Table::text(value)?;
    if is_address(&address) {
        return Ok(address);
    }
    Err(format!("{address:?} is not an address: HOST:PORT"))
}

/// The configuration file of notifyd that is read when none is named.
pub fn configuration_file() -> PathBuf {
    match std::env::var_os("OMD_ROOT") {
        Some(root) => Path::new(&root).join("etc/sitewire/notifyd.toml"),
        None => "/etc/sitewire/notifyd.toml".into(),
    }
}
