//! What a monitoring core knows, as values: hosts and services with their
//! states, comments, contacts, check results, performance data, sites, notifications, and the
//! frame that a dump of them carries.
//!
//! Nothing in here opens a file or a socket or asks for the time. Text that
//! comes from a plugin or a foreign core is bytes ([`bstr::BString`]), because
//! it need not be UTF-8 and must arrive as it was.

#![warn(missing_docs)]

pub mod annotation;
pub mod check_result;
pub mod contact;
pub mod dump;
pub mod host;
pub mod notification;
pub mod perfdata;
pub mod site;
pub mod state;
pub mod time;

pub use annotation::{Comment, Downtime, DowntimeKind, EntryType, ObjectName};
pub use check_result::CheckResult;
pub use contact::Contact;
pub use dump::{DumpBegin, DumpContent, DumpEnd, DumpMode};
pub use host::{Host, HostKey, RareTexts, Service, ServiceKey};
pub use notification::{Envelope, Notification, NotificationId};
pub use perfdata::{Metric, Perfdata, Range, Thresholds};
pub use site::SiteId;
pub use state::{
    AcknowledgementType, HostState, Past, ServiceState, ShadowState, StateCode, StateType,
};
pub use time::UnixTime;
