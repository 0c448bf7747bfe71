//! Thresholds for services by name, as an administrator writes them:
//! `PATTERN=WARN,CRIT`.

use std::fmt;

use bstr::{BStr, BString, ByteSlice};
use objects::Thresholds;
use objects::perfdata::InvalidRange;

use crate::process::ProcessRule;

/// Thresholds for all services whose description matches a pattern.
///
/// `*` stands for any text. A disk's description ends with its device in
/// parentheses, which a pattern may leave out.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pattern: BString,
    /// None if it is about further figures only.
    thresholds: Option<Thresholds>,
    /// Those of further figures, which have names.
    more: Vec<(&'static str, Thresholds)>,
}

/// Rules in the order they were given, of which the last one that matches
/// counts, and the processes that are looked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    processes: Vec<ProcessRule>,
}

/// The text is not `PATTERN=WARN,CRIT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRule {
    /// There is no `=` with a pattern before it, or no comma after it.
    Form(String),
    /// A threshold is wrong.
    Range(InvalidRange),
}

impl Rule {
    /// Parses `PATTERN=WARN,CRIT`. Each threshold is a range of the plugin
    /// guidelines or empty for none. The pattern may contain `=`.
    pub fn parse(text: &str) -> Result<Self, InvalidRule> {
        let form = || InvalidRule::Form(text.to_owned());
        let (pattern, ranges) = text.rsplit_once('=').ok_or_else(form)?;
        let (warn, crit) = ranges.split_once(',').ok_or_else(form)?;
        if pattern.is_empty() {
            return Err(form());
        }
        let thresholds = Thresholds::parse(warn.trim().as_bytes(), crit.trim().as_bytes())
            .map_err(InvalidRule::Range)?;
        Ok(Self::new(pattern, Some(thresholds)))
    }

    /// These thresholds for the services that match the pattern.
    pub fn new(pattern: impl Into<BString>, thresholds: Option<Thresholds>) -> Self {
        Self {
            pattern: pattern.into(),
            thresholds,
            more: Vec::new(),
        }
    }

    /// Thresholds for a further figure of such a service: of network traffic
    /// there are `errors` and `drops`.
    #[must_use]
    pub fn with(mut self, figure: &'static str, thresholds: Thresholds) -> Self {
        self.more.push((figure, thresholds));
        self
    }

    /// Whether it is about the service of this description.
    pub fn matches(&self, description: &BStr) -> bool {
        let without_device = description
            .strip_suffix(b")")
            .and_then(|text| Some(&text[..text.rfind(" (")?]));
        glob(&self.pattern, description)
            || without_device.is_some_and(|text| glob(&self.pattern, text))
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &BStr {
        self.pattern.as_bstr()
    }
}

impl Rules {
    /// The rules, in order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules,
            processes: Vec::new(),
        }
    }

    /// The same, and processes to be looked for.
    #[must_use]
    pub fn with_processes(mut self, processes: Vec<ProcessRule>) -> Self {
        self.processes = processes;
        self
    }

    /// The same, and after them these.
    #[must_use]
    pub fn and(mut self, rules: Vec<Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// The processes that are looked for.
    pub fn processes(&self) -> &[ProcessRule] {
        &self.processes
    }

    /// The thresholds for a service, if a rule is about it.
    pub fn find(&self, description: &BStr) -> Option<Thresholds> {
        self.matching(description).find_map(|rule| rule.thresholds)
    }

    /// The thresholds for a further figure of a service.
    pub fn find_for(&self, description: &BStr, figure: &str) -> Option<Thresholds> {
        self.matching(description)
            .flat_map(|rule| rule.more.iter().rev())
            .find(|(name, _)| *name == figure)
            .map(|(_, thresholds)| *thresholds)
    }

    /// The rules about a service, the last one first.
    fn matching(&self, description: &BStr) -> impl Iterator<Item = &Rule> {
        let rules = self.rules.iter().rev();
        rules.filter(move |rule| rule.matches(description))
    }

    /// The rules that are about none of these services: probably a typing mistake.
    pub fn unused<'a>(
        &'a self,
        descriptions: &'a [BString],
    ) -> impl Iterator<Item = &'a Rule> + 'a {
        self.rules.iter().filter(|rule| {
            !descriptions
                .iter()
                .any(|description| rule.matches(description.as_bstr()))
        })
    }
}

impl std::str::FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(text) => write!(f, "{text:?} is not PATTERN=WARN,CRIT"),
            Self::Range(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for InvalidRule {}

/// Whether `text` is `pattern` with any text in the place of each `*`. Each
/// star needs to be tried at its leftmost fit only, so this does not backtrack
/// further than to the last star.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use objects::ServiceState;

    use super::*;

    #[test]
    fn patterns_match_whole_descriptions() {
        for (pattern, description, want) in [
            ("Memory", "Memory", true),
            ("Memory", "Memory usage", false),
            ("memory", "Memory", false),
            ("*", "", true),
            ("Disk usage of: /", "Disk usage of: / (/dev/sda2)", true),
            ("Disk usage of: /", "Disk usage of: /srv (/dev/sdb1)", false),
            ("Disk usage of: /*", "Disk usage of: /srv (/dev/sdb1)", true),
            (
                "Disk usage of: / (/dev/sda2)",
                "Disk usage of: / (/dev/sda2)",
                true,
            ),
            ("Disk*of: *b1)", "Disk usage of: /srv (/dev/sdb1)", true),
            ("*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let rule = Rule::parse(&format!("{pattern}=1,2")).unwrap();
            assert_eq!(
                rule.matches(description.into()),
                want,
                "{pattern} {description}"
            );
        }
    }

    #[test]
    fn the_last_matching_rule_counts() {
        let rules = ["Disk*=50,60", "Disk usage of: /=10:,", "a=b=1,2"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let rules = Rules::new(rules);
        let state = |description: &str, value| {
            rules
                .find(description.into())
                .map(|thresholds| thresholds.state(value))
        };
        assert_eq!(state("Disk usage of: / (x)", 55.0), Some(ServiceState::Ok));
        assert_eq!(state("Disk usage of: / (x)", 5.0), Some(ServiceState::Warn));
        assert_eq!(
            state("Disk usage of: /srv (x)", 55.0),
            Some(ServiceState::Warn)
        );
        assert_eq!(state("a=b", 3.0), Some(ServiceState::Crit));
        assert_eq!(state("Memory", 99.0), None);
        let known = ["a=b".into()];
        let unused: Vec<_> = rules.unused(&known).map(Rule::pattern).collect();
        assert_eq!(unused, ["Disk*", "Disk usage of: /"]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "Memory",
            "=1,2",
            "Memory=1",
            "Memory=x,2",
            "Memory=2:1,3",
            "Memory=1,2,3",
        ] {
            assert!(Rule::parse(text).is_err(), "{text}");
        }
    }
}
