//! The result of one check, as it is handed to a core.

use bstr::BString;

use crate::UnixTime;

/// One result of a host or service check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// The host it is about.
    pub host_name: BString,
    /// The service, or `None` for the host itself.
    pub service_description: Option<BString>,
    /// When the check ran.
    pub time: UnixTime,
    /// 0 to 2 for hosts, 0 to 3 for services.
    pub return_code: u8,
    /// First line of the output, without performance data.
    pub plugin_output: BString,
    /// The further lines.
    pub long_plugin_output: BString,
    /// Performance data.
    pub perf_data: BString,
}
