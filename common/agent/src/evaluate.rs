//! A result document against thresholds: check results for the host and its
//! services.
//!
//! What is not known is never fine: a check that failed, an item that is gone
//! and a document that is too old are UNKNOWN, and the text says why.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice};
use objects::state::StateCode;
use objects::{CheckResult, HostState, Metric, Range, ServiceState, Thresholds, UnixTime};

use self::running::{
    container_cpu, container_memory, container_running, custom_check, event_log, guest,
    launchd_service, processes, systemd_unit, windows_service,
};
use self::verdict::{Verdict, one_line, percent, size};
use crate::document::{Battery, Disk, DiskIo, Document, NetIo, NetStats, Ntp, Temperature};
use crate::item::{self, Item};
use crate::rules::Rules;
use crate::words::{bytes, rounded, seconds};

mod running;
mod verdict;

/// A document is stale when it is older than this many of its intervals.
const STALE_AFTER_INTERVALS: u64 = 3;

/// Mbit/s assumed for an interface that does not know its speed.
const ASSUMED_SPEED: f64 = 1000.0;

/// Bytes per second in one Mbit/s.
const BYTES_PER_MBIT: f64 = 125_000.0;

/// Evaluates one document for one host at one moment.
pub struct Evaluator<'a> {
    document: &'a Document,
    host_name: BString,
    now: UnixTime,
    rules: &'a Rules,
    items: BTreeMap<BString, Item<'a>>,
}

/// Results for a host whose agent has said nothing for too long: down, and all
/// its services unknown.
pub fn silence(
    host_name: impl Into<BString>,
    services: &[BString],
    now: UnixTime,
    why: &str,
) -> Vec<CheckResult> {
    let host_name = host_name.into();
    let of = |description: Option<&BString>| CheckResult {
        host_name: host_name.clone(),
        service_description: description.cloned(),
        time: now,
        return_code: match description {
            None => HostState::Down.code(),
            Some(_) => ServiceState::Unknown.code(),
        },
        plugin_output: one_line(match description {
            None => format!("{} - {why}", HostState::Down.word()),
            Some(_) => format!("{} - stale: {why}", ServiceState::Unknown.word()),
        }),
        long_plugin_output: BString::default(),
        perf_data: BString::default(),
    };
    std::iter::once(of(None))
        .chain(services.iter().map(|description| of(Some(description))))
        .collect()
}

/// Whether the document can still be believed.
enum Freshness {
    Fresh { made: UnixTime },
    Stale { why: String },
}

impl<'a> Evaluator<'a> {
    /// Of `document`, which describes the host `host_name`.
    pub fn new(
        document: &'a Document,
        host_name: impl Into<BString>,
        now: UnixTime,
        rules: &'a Rules,
    ) -> Self {
        Self {
            document,
            host_name: host_name.into(),
            now,
            rules,
            items: item::items(document, rules),
        }
    }

    /// The descriptions of everything in the document that can be a service.
    pub fn descriptions(&self) -> impl Iterator<Item = &BString> {
        self.items.keys()
    }

    /// The result for the host: up, or down if the document is stale.
    pub fn host(&self) -> CheckResult {
        let (state, time, text) = match self.freshness() {
            Freshness::Fresh { made } => (HostState::Up, made, self.greeting(made)),
            Freshness::Stale { why } => (HostState::Down, self.now, why),
        };
        CheckResult {
            host_name: self.host_name.clone(),
            service_description: None,
            time,
            return_code: state.code(),
            plugin_output: one_line(format!("{} - {text}", state.word())),
            long_plugin_output: BString::default(),
            perf_data: BString::default(),
        }
    }

    /// The result for the service of this description, whether the document
    /// has it or not. `None` if it is not the kind of service that a document
    /// tells about.
    pub fn service(&self, description: &BStr) -> Option<CheckResult> {
        let item = match self.items.get(description.as_bytes()) {
            Some(item) => Ok(*item),
            None => Err(item::missing(self.document, description)?),
        };
        let (time, verdict) = match (self.freshness(), item) {
            (Freshness::Stale { why }, _) => (self.now, Verdict::unknown(why)),
            (Freshness::Fresh { made }, Err(missing)) => (made, missing.verdict()),
            (Freshness::Fresh { made }, Ok(item)) => {
                (self.time(item, made), self.verdict(item, description))
            }
        };
        Some(CheckResult {
            host_name: self.host_name.clone(),
            service_description: Some(description.to_owned()),
            time,
            return_code: verdict.state.code(),
            plugin_output: verdict.plugin_output(),
            long_plugin_output: verdict.long,
            perf_data: verdict.perf_data,
        })
    }

    fn freshness(&self) -> Freshness {
        let Some(made) = self.document.last_updated() else {
            return Freshness::Stale {
                why: "the agent's document does not say when it was made".to_owned(),
            };
        };
        let age = u64::try_from(self.now.secs().saturating_sub(made.secs())).unwrap_or(0);
        let interval = self.document.check_interval();
        if age > interval.saturating_mul(STALE_AFTER_INTERVALS) {
            return Freshness::Stale {
                why: format!(
                    "the agent's document is stale: {} old, made every {}",
                    seconds(age),
                    seconds(interval)
                ),
            };
        }
        // A clock that is ahead must not put results into the future.
        Freshness::Fresh {
            made: made.min(self.now),
        }
    }

    fn greeting(&self, made: UnixTime) -> String {
        let age = u64::try_from(self.now.secs() - made.secs()).unwrap_or(0);
        let Some(agent) = self.document.agent.done() else {
            return format!("agent's document is {} old", seconds(age));
        };
        let known = |text: &str| match text {
            "" => "?".to_owned(),
            text => text.to_owned(),
        };
        let system = format!("{} {}", known(&agent.system), agent.mac_version);
        format!(
            "agent {} on {}, document is {} old",
            known(&agent.agent_version),
            system.trim_end(),
            seconds(age)
        )
    }

    fn time(&self, item: Item<'_>, made: UnixTime) -> UnixTime {
        let Item::CustomCheck(check) = item else {
            return made;
        };
        match i64::try_from(check.execution_unix_timestamp_sec) {
            Ok(secs) if secs > 0 => UnixTime::from_secs(secs).min(self.now),
            _ => made,
        }
    }

    fn verdict(&self, item: Item<'_>, description: &BStr) -> Verdict {
        let given = self.rules.find(description);
        let or = |warn, crit| given.unwrap_or(Thresholds { warn, crit });
        let up_to = |warn, crit| or(Range::up_to(warn), Range::up_to(crit));
        match item {
            Item::CpuUsage => self.cpu_usage(up_to(85.0, 90.0)),
            Item::CpuLoad => {
                let (warn, crit) = self.load_limits();
                self.cpu_load(up_to(warn, crit))
            }
            Item::Memory => self.memory(up_to(80.0, 90.0)),
            Item::Swap => self.swap(up_to(40.0, 80.0)),
            Item::Uptime => self.uptime(or(None, None)),
            Item::SystemTime(ntp) => system_time(
                ntp,
                or(Range::outside(-60.0, 60.0), Range::outside(-90.0, 90.0)),
            ),
            Item::DiskUsage(disk) => self.disk_usage(disk, up_to(80.0, 90.0)),
            Item::DiskFree(disk) => {
                self.disk_free(disk, or(Range::at_least(20.0), Range::at_least(10.0)))
            }
            Item::DiskStats(disk_io) => disk_stats(disk_io, up_to(60.0, 80.0)),
            Item::NetworkStats(name, net_io) => {
                let limit = |share| Range::up_to(share * self.line_speed(name)?);
                self.network_stats(net_io, or(limit(0.85), limit(0.9)), description)
            }
            Item::NetworkState(link) => network_state(link),
            Item::Sensor(sensor) => temperature(sensor, up_to(90.0, 100.0)),
            Item::Battery(battery) => battery_state(
                battery,
                or(Range::inside(0.0, 35.0), Range::inside(0.0, 20.0)),
            ),
            Item::CustomCheck(check) => custom_check(check),
            Item::Processes(rule) => {
                let all = self.document.processes.done().map_or(&[][..], |all| all);
                processes(rule, all, given.unwrap_or(rule.number))
            }
            Item::SystemdUnit(unit) => systemd_unit(unit),
            Item::LaunchdService(service) => launchd_service(service),
            Item::WindowsService(service) => windows_service(service),
            Item::EventLog(events) => event_log(events, given),
            Item::ContainerRunning(container) => container_running(container),
            Item::ContainerCpu(container) => container_cpu(container, up_to(80.0, 90.0)),
            Item::ContainerMemory(container) => container_memory(container, up_to(80.0, 90.0)),
            Item::Guest(machine) => guest(machine),
        }
    }

    fn cpu_usage(&self, thresholds: Thresholds) -> Verdict {
        let cpu = self.document.cpu.done();
        let Some((cpu, busy)) = cpu.and_then(|cpu| Some((cpu, cpu.cpu_total_percentage?))) else {
            return Verdict::no_figure("cpu_total_percentage");
        };
        let shares = cpu.cpu_total_percentage_detailed;
        let text = format!(
            "{busy:.1} % busy on {} CPUs: user {:.1} %, system {:.1} %, waiting for disks {:.1} %",
            cpu.cpu_percentage.len(),
            shares.user + shares.nice,
            shares.system,
            shares.iowait
        );
        Verdict::measured(thresholds, busy, text)
            .metric(percent("cpu_total_percentage", busy).thresholds(thresholds))
    }

    /// As many waiting as there are CPUs is a warning, two more is critical.
    fn load_limits(&self) -> (f64, f64) {
        let cpus = self.document.cpu.done().map(|cpu| cpu.cpu_percentage.len());
        match cpus {
            Some(cpus) if cpus > 0 => (cpus as f64, cpus as f64 + 2.0),
            _ => (24.0, 32.0),
        }
    }

    fn cpu_load(&self, thresholds: Thresholds) -> Verdict {
        let load = self.document.system_load.done();
        let Some((load, load5)) = load.and_then(|load| Some((load, load.load5?))) else {
            return Verdict::no_figure("system_load.1");
        };
        let mut texts = Vec::new();
        let mut metrics = Vec::new();
        for (label, value) in [
            ("load1", load.load1),
            ("load5", Some(load5)),
            ("load15", load.load15),
        ] {
            let Some(value) = value else { continue };
            let metric = Metric::new(label, rounded(value), "").limits(Some(0.0), None);
            texts.push(format!("{value:.2}"));
            metrics.push(match label {
                "load5" => metric.thresholds(thresholds),
                _ => metric,
            });
        }
        let text = format!("load {} over 1, 5 and 15 minutes", texts.join(", "));
        metrics
            .into_iter()
            .fold(Verdict::measured(thresholds, load5, text), Verdict::metric)
    }

    fn memory(&self, thresholds: Thresholds) -> Verdict {
        let memory = self.document.memory.done();
        let Some((memory, used)) = memory.and_then(|memory| Some((memory, memory.percent?))) else {
            return Verdict::no_figure("memory.percent");
        };
        let text = format!(
            "{used:.1} % used, {} of {}, {} available",
            bytes(memory.used),
            bytes(memory.total),
            bytes(memory.available)
        );
        Verdict::measured(thresholds, used, text)
            .metric(percent("used_percent", used).thresholds(thresholds))
            .metric(size("used", memory.used, memory.total))
    }

    fn swap(&self, thresholds: Thresholds) -> Verdict {
        let swap = self.document.swap.done();
        let Some((swap, used)) = swap.and_then(|swap| Some((swap, swap.percent?))) else {
            return Verdict::no_figure("swap.percent");
        };
        let text = match swap.total {
            0 => "no swap space".to_owned(),
            total => format!("{used:.1} % used, {} of {}", bytes(swap.used), bytes(total)),
        };
        Verdict::measured(thresholds, used, text)
            .metric(percent("used_percent", used).thresholds(thresholds))
            .metric(size("used", swap.used, swap.total))
    }

    fn uptime(&self, thresholds: Thresholds) -> Verdict {
        let agent = self.document.agent.done();
        let Some(uptime) = agent.and_then(|agent| agent.system_uptime) else {
            return Verdict::no_figure("system_uptime");
        };
        let text = format!("up {}", seconds(uptime));
        let metric = Metric::new("uptime", uptime as f64, "s");
        Verdict::measured(thresholds, uptime as f64, text)
            .metric(metric.thresholds(thresholds).limits(Some(0.0), None))
    }

    fn disk_usage(&self, disk: &Disk, thresholds: Thresholds) -> Verdict {
        let usage = disk.usage;
        let Some(used) = usage.percent.filter(|_| usage.total > 0) else {
            return self.no_usage();
        };
        let text = format!(
            "{used:.1} % used, {} of {}, {} free",
            bytes(usage.used),
            bytes(usage.total),
            bytes(usage.free)
        );
        Verdict::measured(thresholds, used, text)
            .metric(percent("used_percent", used).thresholds(thresholds))
            .metric(size("used", usage.used, usage.total))
    }

    fn disk_free(&self, disk: &Disk, thresholds: Thresholds) -> Verdict {
        let usage = disk.usage;
        if usage.total == 0 {
            return self.no_usage();
        }
        // Of what users can have, as in `percent`; the sum may exceed 64 bits.
        let usable = usage.free as f64 + usage.used as f64;
        let free = match usable > 0.0 {
            true => usage.free as f64 / usable * 100.0,
            false => 0.0,
        };
        let text = format!(
            "{free:.1} % free, {} of {}",
            bytes(usage.free),
            bytes(usage.total)
        );
        Verdict::measured(thresholds, free, text)
            .metric(percent("free_percent", free).thresholds(thresholds))
            .metric(size("free", usage.free, usage.total))
    }

    /// An agent writes zeros for a file system that did not answer.
    fn no_usage(&self) -> Verdict {
        let why = self.document.errors.get("disks");
        Verdict::unknown(match why {
            Some(why) => format!("no figures for this file system: {why}"),
            None => "no figures for this file system".to_owned(),
        })
    }

    /// Bytes per second that the line can carry in one direction. A loopback
    /// has no line.
    fn line_speed(&self, interface: &str) -> Option<f64> {
        if matches!(interface, "lo" | "lo0") {
            return None;
        }
        let links = self.document.net_stats.done();
        let speed = links.and_then(|links| Some(links.get(interface)?.speed));
        let mbit = match speed {
            Some(speed) if speed > 0 => speed as f64,
            _ => ASSUMED_SPEED,
        };
        Some(mbit * BYTES_PER_MBIT)
    }

    fn has_rates(&self) -> bool {
        let all = self.document.net_io.done().into_iter().flatten();
        all.map(|(_, net_io)| net_io).any(|net_io| {
            net_io.avg_bytes_sent_ps > 0
                || net_io.avg_bytes_recv_ps > 0
                || net_io.avg_packets_sent_ps > 0
                || net_io.avg_packets_recv_ps > 0
        })
    }

    fn network_stats(&self, net_io: &NetIo, thresholds: Thresholds, description: &BStr) -> Verdict {
        if self.document.is_first_collection() && !self.has_rates() {
            return Verdict {
                state: ServiceState::Ok,
                ..Verdict::unknown("collecting: the agent has just started".to_owned())
            };
        }
        let sum = |a: u64, b: u64| a as f64 + b as f64;
        let traffic = sum(net_io.avg_bytes_sent_ps, net_io.avg_bytes_recv_ps);
        let errors = sum(net_io.avg_errin, net_io.avg_errout);
        let drops = sum(net_io.avg_dropin, net_io.avg_dropout);
        let text = format!(
            "sent {}/s, received {}/s, {errors} errors/s, {drops} drops/s",
            bytes(net_io.avg_bytes_sent_ps),
            bytes(net_io.avg_bytes_recv_ps)
        );
        let faults = |figure| {
            let usual = Thresholds {
                warn: Range::up_to(5.0),
                crit: Range::up_to(10.0),
            };
            self.rules.find_for(description, figure).unwrap_or(usual)
        };
        let (bad, lost) = (faults("errors"), faults("drops"));
        let rate = |label: &str, value: f64, unit: &str| {
            Metric::new(label, value, unit).limits(Some(0.0), None)
        };
        let mut verdict = Verdict::measured(thresholds, traffic, text)
            .metric(rate("traffic", traffic, "B").thresholds(thresholds))
            .metric(rate("sent", net_io.avg_bytes_sent_ps as f64, "B"))
            .metric(rate("received", net_io.avg_bytes_recv_ps as f64, "B"))
            .metric(rate("errors", errors, "").thresholds(bad))
            .metric(rate("drops", drops, "").thresholds(lost));
        verdict.worsen(bad.state(errors));
        verdict.worsen(lost.state(drops));
        verdict
    }
}

fn system_time(ntp: &Ntp, thresholds: Thresholds) -> Verdict {
    let Some(offset) = ntp.offset else {
        return Verdict::no_figure("ntp.Offset");
    };
    let text = format!("clock is off by {offset:.6} s");
    let metric = Metric::new("offset", (offset * 1e6).round() / 1e6, "s");
    let mut verdict =
        Verdict::measured(thresholds, offset, text).metric(metric.thresholds(thresholds));
    // An offset from a clock that nobody sets says nothing.
    if ntp.sync_status != Some(true) {
        verdict.text.push_str(", not synchronised");
        verdict.worsen(ServiceState::Warn);
    }
    verdict
}

fn disk_stats(disk_io: &DiskIo, thresholds: Thresholds) -> Verdict {
    let Some(load) = disk_io.load_percent else {
        return Verdict::no_figure("LoadPercent");
    };
    let text = format!(
        "busy {load:.1} % of the time, reading {}/s, writing {}/s, {:.1} ms per operation",
        bytes(disk_io.read_bytes_per_second),
        bytes(disk_io.write_bytes_per_second),
        disk_io.total_avg_wait
    );
    let rate = |label: &str, value: u64, unit: &str| {
        Metric::new(label, value as f64, unit).limits(Some(0.0), None)
    };
    Verdict::measured(thresholds, load, text)
        .metric(percent("load_percent", load).thresholds(thresholds))
        .metric(rate("read", disk_io.read_bytes_per_second, "B"))
        .metric(rate("write", disk_io.write_bytes_per_second, "B"))
        .metric(rate("read_iops", disk_io.read_iops_per_second, ""))
        .metric(rate("write_iops", disk_io.write_iops_per_second, ""))
        .metric(Metric::new("wait", rounded(disk_io.total_avg_wait), "ms").limits(Some(0.0), None))
}

fn network_state(link: &NetStats) -> Verdict {
    let duplex = match link.duplex {
        1 => ", half duplex",
        2 => ", full duplex",
        _ => "",
    };
    let speed = match link.speed {
        speed if speed > 0 => format!(", {speed} Mbit/s"),
        _ => String::new(),
    };
    let (state, word) = match link.isup {
        Some(true) => (ServiceState::Ok, "up"),
        Some(false) => (ServiceState::Crit, "down"),
        None => return Verdict::no_figure("isup"),
    };
    Verdict {
        state,
        ..Verdict::unknown(format!("link is {word}{speed}{duplex}, MTU {}", link.mtu))
    }
}

fn temperature(sensor: &Temperature, thresholds: Thresholds) -> Verdict {
    let Some(current) = sensor.current else {
        return Verdict::no_figure("current");
    };
    let metric = Metric::new("temperature", rounded(current), "");
    Verdict::measured(thresholds, current, format!("{current:.1} °C"))
        .metric(metric.thresholds(thresholds))
}

fn battery_state(battery: &Battery, thresholds: Thresholds) -> Verdict {
    let Some(charge) = battery.percent else {
        return Verdict::no_figure("percent");
    };
    let power = match battery.power_plugged {
        true => "plugged in",
        false => "not plugged in",
    };
    Verdict::measured(
        thresholds,
        charge,
        format!("{charge:.1} % charged, {power}"),
    )
    .metric(percent("charge", charge).thresholds(thresholds))
}
