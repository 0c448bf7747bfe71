//! `[rules]`: who is told of what is delivered here. The file itself:
//! sitewire-rules(5).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use program::config::Table;
use rules::Rules;

use super::{Configuration, positive};

/// The rules that are followed.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    pub(crate) file: PathBuf,
    /// How often it is looked whether the files have changed; none for never.
    pub(crate) look: Option<Duration>,
    /// None until the file has been read.
    pub(crate) rules: Option<Arc<Rules>>,
    /// The files as they were right before they were read.
    seen: Vec<Seen>,
}

/// A file, when it was changed, and how long it was; none if it was not there.
pub(crate) type Seen = (PathBuf, Option<(SystemTime, u64)>);

pub(super) fn parse_rules(
    mut table: Table,
    file: &str,
    problems: &mut Vec<String>,
) -> Option<Followed> {
    let name = table.require("file", Table::path, problems);
    let look = table.take("look", positive, problems);
    table.finish(problems);
    let beside = Path::new(file).parent().unwrap_or(Path::new("."));
    Some(Followed {
        file: beside.join(name?),
        look,
        rules: None,
        seen: Vec::new(),
    })
}

impl Followed {
    /// The files as they are, if one is not what was read.
    pub(crate) fn changes(&self) -> Option<Vec<Seen>> {
        let now = self.seen.iter();
        let now: Vec<Seen> = now.map(|(path, _)| (path.clone(), look_at(path))).collect();
        (now != self.seen).then_some(now)
    }
}

impl Configuration {
    /// The rules, once they have been read.
    pub(crate) fn followed(&self) -> Option<Arc<Rules>> {
        self.rules.as_ref()?.rules.clone()
    }

    /// Reads the rules, and the files that they name.
    pub(super) fn read_rules(&mut self, problems: &mut Vec<String>) {
        let Some(followed) = &mut self.rules else {
            return;
        };
        let before = look_at(&followed.file);
        let rules = match Rules::read(&followed.file) {
            Ok(rules) => rules,
            Err(mistakes) => {
                problems.extend(mistakes);
                return;
            }
        };
        for lane in rules.lanes() {
            if !self.lanes.iter().any(|known| known.name == lane) {
                problems.push(format!(
                    "{}: sends to lane {lane:?}, which is no [[lane]]",
                    followed.file.display()
                ));
            }
        }
        followed.seen = vec![(followed.file.clone(), before)];
        let sources = rules.sources().iter();
        followed
            .seen
            .extend(sources.map(|path| (path.clone(), look_at(path))));
        followed.rules = Some(Arc::new(rules));
    }
}

fn look_at(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}
