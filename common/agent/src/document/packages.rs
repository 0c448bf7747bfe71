//! Installed software.

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::lenient;

/// `packagemanager`. Disabled, its keys are in lower case.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct PackageManager {
    #[serde(alias = "enabled", deserialize_with = "lenient::nullable")]
    pub enabled: bool,
    #[serde(alias = "pending", deserialize_with = "lenient::nullable")]
    pub pending: bool,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub last_update: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub stats: PackageStats,
}

impl Serialize for PackageManager {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.enabled {
            let mut map = serializer.serialize_map(Some(2))?;
            map.serialize_entry("enabled", &false)?;
            map.serialize_entry("pending", &false)?;
            return map.end();
        }
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("Enabled", &true)?;
        map.serialize_entry("Pending", &self.pending)?;
        map.serialize_entry("LastUpdate", &self.last_update)?;
        map.serialize_entry("Stats", &self.stats)?;
        map.end()
    }
}

/// Counts of installed software.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct PackageStats {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub installed_packages: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub upgradable_packages: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub security_updates: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub reboot_required: bool,
    #[serde(deserialize_with = "lenient::nullable")]
    pub last_error: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub operating_system: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub package_manager: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub os_name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub os_version: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub os_family: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub agent_version: String,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub uptime: u64,
}

/// The whole inventory, which is asked for on its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Inventory {
    #[serde(deserialize_with = "lenient::nullable")]
    pub enabled: bool,
    #[serde(deserialize_with = "lenient::nullable")]
    pub pending: bool,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub last_update: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub stats: PackageStats,
    #[serde(deserialize_with = "lenient::nullable")]
    pub linux_packages: Vec<LinuxPackage>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub linux_updates: Vec<LinuxUpdate>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub windows_apps: Vec<WindowsApp>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub windows_updates: Vec<WindowsUpdate>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub macos_apps: Vec<LinuxPackage>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub macos_updates: Vec<LinuxPackage>,
}

/// An installed package; macOS has applications and updates of the same form.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct LinuxPackage {
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub version: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub description: String,
}

/// A package that has a newer version.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct LinuxUpdate {
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub current_version: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub available_version: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub is_security_update: bool,
    #[serde(deserialize_with = "lenient::nullable")]
    pub is_patch: bool,
}

/// An installed application of Windows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct WindowsApp {
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub version: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub publisher: String,
}

/// An update of Windows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct WindowsUpdate {
    #[serde(deserialize_with = "lenient::nullable")]
    pub title: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub description: String,
    #[serde(rename = "KBArticleIDs", deserialize_with = "lenient::nullable")]
    pub kb_article_ids: Vec<String>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub is_installed: bool,
    #[serde(deserialize_with = "lenient::nullable")]
    pub is_security_update: bool,
    #[serde(deserialize_with = "lenient::nullable")]
    pub is_optional: bool,
    #[serde(rename = "UpdateID", deserialize_with = "lenient::nullable")]
    pub update_id: String,
    #[serde(deserialize_with = "lenient::signed")]
    pub revision_number: i64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub reboot_required: bool,
}
