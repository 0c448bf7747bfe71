//! The table `status`: one row about this program.

use livestatus::ColumnType::{Float, Int, Text, Time};
use livestatus::Value;

use std::sync::atomic::Ordering;

use super::{Column, Get, View};
use crate::counters::Counter;

/// The program, as of one moment.
pub(crate) struct StatusRow {
    program_start: i64,
    last_command_check: i64,
    num_hosts: i64,
    num_services: i64,
    num_sites: i64,
    active_connections: i64,
    connections: Count,
    requests: Count,
    external_commands: Count,
    refused_commands: Count,
    host_checks: Count,
    service_checks: Count,
    log_messages: Count,
    as_naemon: bool,
}

struct Count {
    total: i64,
    rate: f64,
}

impl From<&Counter> for Count {
    fn from(counter: &Counter) -> Self {
        Self {
            total: counter.total(),
            rate: counter.rate(),
        }
    }
}

impl StatusRow {
    /// What a query sees.
    pub(super) fn new(view: &View<'_>) -> Self {
        let counters = view.counters;
        let objects = || view.sites.iter().map(|site| site.objects());
        Self {
            program_start: counters.program_start.load(Ordering::Relaxed) as i64,
            last_command_check: counters.last_command_check.load(Ordering::Relaxed) as i64,
            num_hosts: objects().map(|objects| objects.hosts.len() as i64).sum(),
            num_services: objects().map(|objects| objects.num_services as i64).sum(),
            num_sites: view.sites.len() as i64,
            active_connections: counters.active_connections.load(Ordering::Relaxed) as i64,
            connections: (&counters.connections).into(),
            requests: (&counters.requests).into(),
            external_commands: (&counters.external_commands).into(),
            refused_commands: (&counters.refused_commands).into(),
            host_checks: (&counters.host_checks).into(),
            service_checks: (&counters.service_checks).into(),
            log_messages: log_messages(view),
            as_naemon: counters.as_naemon,
        }
    }
}

/// Lines of the histories of all sites in view.
fn log_messages(view: &View<'_>) -> Count {
    let histories = view.sites.iter().filter_map(|site| site.history());
    let none = Count {
        total: 0,
        rate: 0.0,
    };
    histories.fold(none, |sum, history| Count {
        total: sum.total + history.noted.total(),
        rate: sum.rate + history.noted.rate(),
    })
}

/// Clients tell servers apart by these two.
const PROGRAM_VERSION: &str = concat!("sitewire-livestatusd ", env!("CARGO_PKG_VERSION"));
const LIVESTATUS_VERSION: &str = "1.5.0-sitewire";
/// Thruk and LMD look for the end of this one.
const NAEMON_VERSION: &str = "1.5.0-sitewire-naemon";

#[rustfmt::skip] // a list: one column after the other
pub(super) fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("connections", Int, "Connections accepted", Get::Status(|r| Value::Int(r.connections.total))),
        Column::new("connections_rate", Float, "The same, a second", Get::Status(|r| Value::Float(r.connections.rate))),
        Column::new("core_pid", Int, "Process id", Get::Status(|_| Value::Int(i64::from(std::process::id())))),
        Column::new("external_commands", Int, "Commands taken", Get::Status(|r| Value::Int(r.external_commands.total))),
        Column::new("external_commands_rate", Float, "The same, a second", Get::Status(|r| Value::Float(r.external_commands.rate))),
        Column::new("host_checks", Int, "Passive results and shadow states of hosts", Get::Status(|r| Value::Int(r.host_checks.total))),
        Column::new("host_checks_rate", Float, "The same, a second", Get::Status(|r| Value::Float(r.host_checks.rate))),
        Column::new("last_command_check", Time, "When the last command came", Get::Status(|r| Value::Int(r.last_command_check))),
        Column::new("livestatus_active_connections", Int, "Connections open now", Get::Status(|r| Value::Int(r.active_connections))),
        Column::new("livestatus_version", Text, "Version of Livestatus", 
            Get::Status(|r| Value::text(if r.as_naemon { NAEMON_VERSION } else { LIVESTATUS_VERSION }))),
        Column::new("log_messages", Int, "Lines written to the history", Get::Status(|r| Value::Int(r.log_messages.total))),
        Column::new("log_messages_rate", Float, "The same, a second", Get::Status(|r| Value::Float(r.log_messages.rate))),
        Column::new("nagios_pid", Int, "Process id", Get::Status(|_| Value::Int(i64::from(std::process::id())))),
        Column::new("num_hosts", Int, "Hosts in view", Get::Status(|r| Value::Int(r.num_hosts))),
        Column::new("num_services", Int, "Services in view", Get::Status(|r| Value::Int(r.num_services))),
        Column::new("num_sites", Int, "Sites in view", Get::Status(|r| Value::Int(r.num_sites))),
        Column::new("program_start", Time, "When the program started or last read its configuration", Get::Status(|r| Value::Int(r.program_start))),
        Column::new("program_version", Text, "Name and version of the program", Get::Status(|_| Value::text(PROGRAM_VERSION))),
        Column::new("refused_commands", Int, "Commands refused", Get::Status(|r| Value::Int(r.refused_commands.total))),
        Column::new("refused_commands_rate", Float, "The same, a second", Get::Status(|r| Value::Float(r.refused_commands.rate))),
        Column::new("requests", Int, "Queries and commands", Get::Status(|r| Value::Int(r.requests.total))),
        Column::new("requests_rate", Float, "The same, a second", Get::Status(|r| Value::Float(r.requests.rate))),
        Column::new("service_checks", Int, "Passive results and shadow states of services", Get::Status(|r| Value::Int(r.service_checks.total))),
        Column::new("service_checks_rate", Float, "The same, a second", Get::Status(|r| Value::Float(r.service_checks.rate))),
        Column::new("livestatus_threads", Int, "Threads that answer queries",
            Get::Status(|_| Value::Int(std::thread::available_parallelism().map_or(2, usize::from) as i64))),
        Column::neutral("edition", Text, "Always sitewire", || Value::text("sitewire")),
        Column::neutral("interval_length", Int, "Seconds of an interval: 60", || Value::Int(60)),
        Column::neutral("max_long_output_size", Int, "Longest line of a dump", || Value::Int(livestatus::dump::MAX_LINE as i64)),
        Column::neutral("last_log_rotation", Time, "Not known here: 0", || Value::Int(0)),
    ];
    for name in ["accept_passive_host_checks", "accept_passive_service_checks", "check_external_commands"] {
        columns.push(Column::neutral(name, Int, "Always 1", || Value::Int(1)));
    }
    const NOT_DONE: &str = "Always 0: this program does not do that";
    columns.extend(Column::nothing(Int, NOT_DONE,
        "cached_log_messages check_host_freshness check_service_freshness enable_event_handlers \
         enable_flap_detection enable_notifications execute_host_checks execute_service_checks forks livechecks \
         neb_callbacks obsess_over_hosts obsess_over_services process_performance_data \
         external_command_buffer_max external_command_buffer_slots external_command_buffer_usage \
         livestatus_queued_connections livecheck_overflows carbon_bytes_sent carbon_overflows carbon_queue_usage \
         has_event_handlers influxdb_bytes_sent influxdb_overflows influxdb_queue_usage livestatus_overflows \
         metrics_count num_queued_alerts num_queued_notifications perf_data_count rrdcached_bytes_sent \
         rrdcached_overflows rrdcached_queue_usage"));
    columns.extend(Column::nothing(Float, NOT_DONE,
        "forks_rate livechecks_rate neb_callbacks_rate livecheck_overflows_rate \
         average_latency_checker average_latency_fetcher average_latency_generic average_latency_real_time \
         carbon_bytes_sent_rate carbon_overflows_rate carbon_queue_usage_rate helper_usage_checker \
         helper_usage_fetcher helper_usage_generic helper_usage_real_time influxdb_bytes_sent_rate \
         influxdb_overflows_rate influxdb_queue_usage_rate livestatus_overflows_rate livestatus_usage \
         metrics_count_rate perf_data_count_rate rrdcached_bytes_sent_rate rrdcached_overflows_rate \
         rrdcached_queue_usage_rate"));
    columns.extend(Column::nothing(Time, NOT_DONE, "mk_inventory_last"));
    columns
}
