//! The name of one monitoring instance.

use std::fmt;

/// Longest site id, in bytes.
pub const MAX_LEN: usize = 64;

/// Names a site: one monitoring instance, the unit that objects belong to.
///
/// 1 to 64 characters of `[A-Za-z0-9_-]`, not starting with a dash, so that
/// it can stand in a file name, a certificate and a Livestatus line without
/// quoting.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(Box<str>);

/// The text is not a site id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSiteId(String);

impl SiteId {
    /// Checks `name` and makes a site id of it.
    pub fn new(name: &str) -> Result<Self, InvalidSiteId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty()
            || name.len() > MAX_LEN
            || name.starts_with('-')
            || !name.bytes().all(allowed)
        {
            return Err(InvalidSiteId(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for SiteId {
    type Err = InvalidSiteId;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl AsRef<str> for SiteId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for SiteId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for SiteId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for SiteId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&name).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for InvalidSiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a site id: 1 to {MAX_LEN} letters, digits, underscores and dashes, no dash first",
            self.0
        )
    }
}

impl std::error::Error for InvalidSiteId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_ids_are_file_name_safe() {
        for good in ["a", "remote1", "Kunde_17-b", &"x".repeat(64)] {
            assert!(SiteId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a/b", "..", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(SiteId::new(bad).is_err(), "{bad}");
        }
    }
}
