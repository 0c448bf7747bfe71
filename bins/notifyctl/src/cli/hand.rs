//! The command line of what people do with notifications.

use std::time::Duration;

use clap::{Args, ValueEnum};
use objects::{NotificationId, SiteId};

/// `notifyctl status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Be a plugin of a monitoring core: one line with performance data
    ///
    /// What notifyd last wrote counts, and how old that is by the clock here.
    #[arg(long, conflicts_with = "json")]
    pub(crate) nagios: bool,

    /// From where on it is WARNING
    ///
    /// NAME=VALUE, repeated: waiting=NUMBER, oldest=DURATION (10m),
    /// silent=DURATION of a peer (2m), certificate=DURATION left (30d),
    /// canary=DURATION since the last came through (never). 0: never.
    #[arg(short, long, value_name = "NAME=VALUE", requires = "nagios",
          value_parser = crate::nagios::parse_limit)]
    pub(crate) warning: Vec<Limit>,

    /// From where on it is CRITICAL
    ///
    /// As --warning; oldest (1h), silent (10m), certificate (7d).
    #[arg(short = 'C', long, value_name = "NAME=VALUE", requires = "nagios",
          value_parser = crate::nagios::parse_limit)]
    pub(crate) critical: Vec<Limit>,
}

/// A limit of `status --nagios`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) of: Of,
    /// In seconds, but for [`Of::Waiting`]; 0 for none.
    pub(crate) value: u64,
}

/// What a limit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// How many wait.
    Waiting,
    /// For how long the oldest waits.
    Oldest,
    /// For how long a peer has said nothing.
    Silent,
    /// For how long the certificate is still valid.
    Certificate,
    /// For how long no canary has come through.
    Canary,
}

/// Which notifications are meant: all conditions must hold.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// These, by their ids
    #[arg(value_name = "ID", value_parser = id)]
    pub(crate) ids: Vec<NotificationId>,

    /// Submitted at this site
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,

    /// About this host
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,

    /// About this service; an empty NAME: about hosts
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,

    /// Still to be delivered by this lane
    #[arg(long, value_name = "NAME")]
    pub(crate) lane: Option<String>,

    /// Still to be stored by this peer
    #[arg(long, value_name = "SITE", conflicts_with = "lane")]
    pub(crate) peer: Option<SiteId>,

    /// Accepted here longer ago than this: 90s, 10m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) older_than: Option<Duration>,

    /// Held
    #[arg(long)]
    pub(crate) held: bool,
}

impl Selection {
    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty() && !self.has_conditions()
    }

    /// Whether it says more than ids.
    pub(crate) fn has_conditions(&self) -> bool {
        self.site.is_some()
            || self.host.is_some()
            || self.service.is_some()
            || self.lane.is_some()
            || self.peer.is_some()
            || self.older_than.is_some()
            || self.held
    }
}

/// `notifyctl hold`, `release` and `retry`.
#[derive(Debug, Args)]
pub(crate) struct Act {
    #[command(flatten)]
    pub(crate) which: Selection,

    /// All that have not ended
    #[arg(long)]
    pub(crate) all: bool,

    /// The reason, which is recorded
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) why: String,
}

/// `notifyctl drop`.
#[derive(Debug, Args)]
pub(crate) struct Drop {
    #[command(flatten)]
    pub(crate) which: Selection,

    /// All that have not ended
    #[arg(long)]
    pub(crate) all: bool,

    /// The reason, which is recorded
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

/// `notifyctl flush` and `reload`.
#[derive(Debug, Args)]
pub(crate) struct Said {
    /// The reason, which is logged
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) why: String,
}

/// What can be paused.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Pausable {
    Delivery,
}

/// `notifyctl pause`.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[arg(
        value_name = "WHAT",
        hide_possible_values = true,
        help = "The word `delivery`"
    )]
    pub(crate) what: Pausable,

    /// By this lane only [default: by all]
    #[arg(long, value_name = "NAME")]
    pub(crate) lane: Option<String>,

    /// For so long: 90s, 10m, 2h [default: until it is resumed]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) length: Option<Duration>,

    /// The reason, which is shown
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) why: String,
}

/// `notifyctl resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[arg(
        value_name = "WHAT",
        hide_possible_values = true,
        help = "The word `delivery`"
    )]
    pub(crate) what: Pausable,

    /// By this lane only, if it is paused by itself [default: by all]
    #[arg(long, value_name = "NAME")]
    pub(crate) lane: Option<String>,

    /// The reason, which is logged
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) why: String,
}

/// `notifyctl show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its id
    #[arg(value_name = "ID", value_parser = id)]
    pub(crate) id: NotificationId,

    /// Print the body as it is stored, and nothing else
    #[arg(long)]
    pub(crate) body: bool,
}

/// `notifyctl test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Be a canary: tell nobody, but prove that the way is open
    ///
    /// It goes where all notifications go. The site where it goes no further
    /// counts it, or delivers it into the lane of its canaries, and what became of
    /// it travels back.
    #[arg(long, conflicts_with_all = ["host", "service", "comment"])]
    pub(crate) canary: bool,

    /// Follow it until its end here, a canary until it has come back, at most
    /// this long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) wait: Option<Duration>,

    /// The host that it is about [default: the site]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,

    /// The service that it is about
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,

    /// Where it is submitted [default: the site of the configuration, else
    /// SITEWIRE_SITE, else OMD_SITE]
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,

    /// What it says
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "a test of the notifications"
    )]
    pub(crate) comment: String,
}

fn id(text: &str) -> Result<NotificationId, String> {
    NotificationId::parse(text).ok_or_else(|| "not the id of a notification".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    program::config::parse_duration(text)
        .ok_or_else(|| "must be a number and a unit, as in 90s, 10m, 2h, 7d".to_owned())
}
