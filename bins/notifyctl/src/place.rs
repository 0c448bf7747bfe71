//! Where the spool and the state file are, from flags or notifyd's configuration.

use std::path::{Path, PathBuf};

use objects::SiteId;
use program::config::Table;
use program::{Failure, Status};

use crate::cli::Args;

/// notifyd's defaults for the keys that are read here.
const DEFAULT_SPOOL: &str = "/var/spool/sitewire";
const DEFAULT_SPOOL_IN_OMD: &str = "var/sitewire/spool";
const DEFAULT_STATE_FILE: &str = "notifyd.state";

/// Where to look.
pub(crate) struct Place {
    pub(crate) spool: PathBuf,
    /// The JSON form of the state file.
    pub(crate) state: PathBuf,
    /// The site of this notifyd, as far as the configuration says it.
    pub(crate) site: Option<SiteId>,
}

impl Place {
    pub(crate) fn find(args: &Args) -> Result<Self, Failure> {
        if let Some(spool) = &args.spool {
            return Ok(Self::new(spool.clone(), None, None));
        }
        let path = args.config.clone().unwrap_or_else(default_path);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let what = format!("cannot read {}", path.display());
            Failure::caused(Status::BadConfiguration, what, error)
        })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Other keys are notifyd's business: they are not looked at.
    fn parse(file: &str, text: &str) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let mut root = Table::parse(file, text, &mut problems);
        let spool = root
            .take("spool", Table::table, &mut problems)
            .and_then(|mut spool| spool.take("directory", Table::path, &mut problems))
            .unwrap_or_else(default_spool);
        let state = root
            .take("state", Table::table, &mut problems)
            .and_then(|mut state| state.take("file", Table::path, &mut problems));
        // Whether it is one is notifyd's business as well.
        let site = root
            .take("site", Table::table, &mut Vec::new())
            .and_then(|mut site| site.take("name", Table::parsed, &mut Vec::new()));
        if problems.is_empty() {
            Ok(Self::new(spool, state, site))
        } else {
            Err(Failure::new(Status::BadConfiguration, problems.join("\n")))
        }
    }

    fn new(spool: PathBuf, state: Option<PathBuf>, site: Option<SiteId>) -> Self {
        let state = state.unwrap_or_else(|| spool.join(DEFAULT_STATE_FILE));
        let mut json = state.into_os_string();
        json.push(".json");
        Self {
            spool,
            state: json.into(),
            site,
        }
    }
}

fn default_spool() -> PathBuf {
    match std::env::var_os("OMD_ROOT") {
        Some(root) => Path::new(&root).join(DEFAULT_SPOOL_IN_OMD),
        None => DEFAULT_SPOOL.into(),
    }
}

pub(crate) fn default_path() -> PathBuf {
    match std::env::var_os("OMD_ROOT") {
        Some(root) => Path::new(&root).join("etc/sitewire/notifyd.toml"),
        None => "/etc/sitewire/notifyd.toml".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_keys_are_read() {
        let text = "[site]\nname = 7\n[spool]\ndirectory = '/s'\nlater = 1\n";
        let place = Place::parse("n.toml", text).unwrap();
        assert_eq!(place.spool, Path::new("/s"));
        assert_eq!(place.state, Path::new("/s/notifyd.state.json"));
        assert_eq!(place.site, None);
        let place = Place::parse("n.toml", "[site]\nname = 'a'\n[state]\nfile = '/x'\n").unwrap();
        assert_eq!(place.site, SiteId::new("a").ok());
        assert_eq!(place.spool, Path::new(DEFAULT_SPOOL));
        assert_eq!(place.state, Path::new("/x.json"));
        assert!(Place::parse("n.toml", "[spool]\ndirectory = 7\n").is_err());
    }
}
