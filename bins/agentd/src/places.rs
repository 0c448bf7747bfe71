//! Where the files lie if nothing else is said: where the original has them on
//! this platform. On Windows it asks the registry where it was installed; we take
//! the place where its installer puts it.

/// The directory of the configuration.
#[cfg(not(any(windows, target_os = "macos")))]
pub(crate) const DIRECTORY: &str = "/etc/openitcockpit-agent";
#[cfg(target_os = "macos")]
pub(crate) const DIRECTORY: &str = "/Applications/openitcockpit-agent";
#[cfg(windows)]
pub(crate) const DIRECTORY: &str = r"C:\Program Files\openitcockpit-agent";

/// The configuration file.
#[cfg(not(any(windows, target_os = "macos")))]
pub(crate) const CONFIG: &str = "/etc/openitcockpit-agent/config.ini";
#[cfg(target_os = "macos")]
pub(crate) const CONFIG: &str = "/Applications/openitcockpit-agent/config.ini";
#[cfg(windows)]
pub(crate) const CONFIG: &str = r"C:\Program Files\openitcockpit-agent\config.ini";

/// The log.
#[cfg(not(any(windows, target_os = "macos")))]
pub(crate) const LOG: &str = "/var/log/openitcockpit-agent/agent.log";
#[cfg(target_os = "macos")]
pub(crate) const LOG: &str = "/Applications/openitcockpit-agent/agent.log";
#[cfg(windows)]
pub(crate) const LOG: &str = r"C:\Program Files\openitcockpit-agent\agent.log";
