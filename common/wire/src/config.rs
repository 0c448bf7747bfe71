//! What one end is and wants, and whether a peer fits to it.

use std::time::Duration;

use objects::{SiteId, UnixTime};

use crate::control::{Hello, Range, Window};
use crate::error::{Error, violation};
use crate::frame;

/// The protocol versions that this release speaks.
pub const VERSIONS: Range = Range(1, 1);
/// Feature: results of notifications travel back to their origin, as messages
/// whose body has the kind "result". Sent only to a peer that has it too.
pub const FEATURE_RESULTS: &str = "results";

/// What one end is and wants.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our site.
    pub site: SiteId,
    /// The site the peer must be: from its certificate, or as configured.
    pub peer_site: Option<SiteId>,
    /// A random text made at each start of the program.
    pub instance: String,
    /// Name of our software.
    pub software: String,
    /// Release of it.
    pub version: String,
    /// Protocol versions we speak.
    pub protocol: Range,
    /// Optional behaviour we know.
    pub features: Vec<String>,
    /// Longest frame we take.
    pub max_frame: u32,
    /// What we allow the peer to have in doubt.
    pub window: Window,
    /// How often we send PING.
    pub heartbeat: Duration,
    /// How long without a frame, or without an answer of the peer's journal,
    /// until we give the connection up.
    pub dead: Duration,
    /// Our wall clock at the start of the session.
    pub started: UnixTime,
    /// Whether we may send messages to this peer.
    pub sends: bool,
    /// Whether we take messages from this peer.
    pub accepts: bool,
}

impl Config {
    /// The defaults: window of 1,024 messages and 16 MiB, heartbeat 10 s, dead
    /// after 30 s, both directions.
    pub fn new(site: SiteId, instance: impl Into<String>, started: UnixTime) -> Self {
        Self {
            site,
            peer_site: None,
            instance: instance.into(),
            software: "sitewire".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: VERSIONS,
            features: Vec::new(),
            max_frame: frame::DEFAULT_MAX_FRAME,
            window: Window {
                msgs: 1024,
                bytes: 16 << 20,
            },
            heartbeat: Duration::from_secs(10),
            dead: Duration::from_secs(30),
            started,
            sends: true,
            accepts: true,
        }
    }

    pub(crate) fn hello(&self) -> Hello {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Hello {
            proto: self.protocol,
            software: self.software.clone(),
            version: self.version.clone(),
            site: self.site.clone(),
            instance: self.instance.clone(),
            features: self.features.clone(),
            max_frame: self.max_frame,
            window_msgs: self.window.msgs,
            window_bytes: self.window.bytes,
            heartbeat_ms: millis(self.heartbeat),
            dead_ms: millis(self.dead),
            now_us: self.started.micros(),
            sends: self.sends,
            accepts: self.accepts,
        }
    }

    /// Whether a connection with this peer may go on.
    pub(crate) fn check(&self, hello: &Hello) -> Result<(), Error> {
        if hello.site == self.site {
            return Err(Error::OwnSite(self.site.clone()));
        }
        if let Some(expected) = &self.peer_site
            && hello.site != *expected
        {
            return Err(Error::WrongSite {
                expected: expected.clone(),
                claimed: hello.site.clone(),
            });
        }
        if !(frame::MIN_MAX_FRAME..=frame::HARD_MAX_FRAME).contains(&hello.max_frame) {
            return Err(violation("max_frame is not between 64 KiB and 16 MiB"));
        }
        if hello.dead_ms == 0 {
            return Err(violation("dead_ms is 0"));
        }
        Ok(())
    }
}
