//! What runs on a machine: processes, services, containers, virtual machines,
//! plugins, and what is written into event logs.

use objects::{Metric, Range, ServiceState, Thresholds};

use super::verdict::{Verdict, percent};
use crate::document::{
    Container, CustomCheck, Guest, LaunchdService, Process, SystemdUnit, WindowsEvent,
    WindowsService,
};
use crate::plugin_output::PluginOutput;
use crate::process::{Field, ProcessRule};
use crate::words::{bytes, rounded};

/// Events of that type are errors.
const ERROR: i64 = 1;

/// What a plugin said stays as it is; only the ends that are not its own
/// words get a reason.
pub(super) fn custom_check(check: &CustomCheck) -> Verdict {
    let output = PluginOutput::parse(check.stdout.as_bytes());
    let text = output.plugin_output.to_string();
    let (state, reason) = match check.rc {
        0 => (ServiceState::Ok, ""),
        1 => (ServiceState::Warn, ""),
        2 => (ServiceState::Crit, ""),
        3 => (ServiceState::Unknown, ""),
        124 => (ServiceState::Unknown, "plugin timed out"),
        126 => (ServiceState::Unknown, "plugin is not executable"),
        127 => (ServiceState::Unknown, "plugin does not exist"),
        -1 => (ServiceState::Unknown, "plugin was killed by a signal"),
        _ => (
            ServiceState::Unknown,
            "plugin ended with no status of a plugin",
        ),
    };
    let text = match (reason, text.is_empty()) {
        ("", true) => "(no output)".to_owned(),
        ("", false) => text,
        (reason, true) => format!("UNKNOWN - {reason} ({})", check.rc),
        (reason, false) => format!("UNKNOWN - {reason} ({}): {text}", check.rc),
    };
    Verdict {
        state,
        text,
        by_plugin: true,
        long: output.long_plugin_output,
        perf_data: output.perf_data,
    }
}

/// How many there are, and how much the greediest of them takes.
pub(super) fn processes(rule: &ProcessRule, all: &[Process], number: Thresholds) -> Verdict {
    let found: Vec<&Process> = all
        .iter()
        .filter(|process| is_meant(rule, process))
        .collect();
    let most = |share: fn(&Process) -> f64| found.iter().map(|p| share(p)).fold(0.0, f64::max);
    let (cpu, memory) = (most(|p| p.cpu_percent), most(|p| p.memory_percent));
    let count = found.len() as f64;
    let text = match found.len() {
        1 => format!("1 process, CPU {cpu:.1} %, memory {memory:.1} %"),
        count => format!("{count} processes, at most CPU {cpu:.1} %, memory {memory:.1} % each"),
    };
    let mut verdict = Verdict::measured(number, count, text)
        .metric(
            Metric::new("processes", count, "")
                .thresholds(number)
                .limits(Some(0.0), None),
        )
        .metric(
            Metric::new("cpu", rounded(cpu), "%")
                .thresholds(rule.cpu)
                .limits(Some(0.0), None),
        )
        .metric(percent("memory", memory).thresholds(rule.memory));
    if !found.is_empty() {
        verdict.worsen(rule.cpu.state(cpu));
        verdict.worsen(rule.memory.state(memory));
    }
    verdict
}

fn is_meant(rule: &ProcessRule, process: &Process) -> bool {
    let auto = || {
        let fields = [&process.cmdline, &process.exec, &process.name];
        fields.into_iter().find(|field| !field.is_empty())
    };
    let field = match rule.field {
        Field::Auto => auto(),
        Field::Cmdline => Some(&process.cmdline),
        Field::Exec => Some(&process.exec),
        Field::Name => Some(&process.name),
    };
    field.is_some_and(|field| match rule.strict {
        true => *field == rule.pattern,
        false => field.contains(&rule.pattern),
    })
}

pub(super) fn systemd_unit(unit: &SystemdUnit) -> Verdict {
    let text = format!(
        "{} is {} ({})",
        named(&unit.description, &unit.name),
        unit.active_state,
        unit.sub_state
    );
    on_or_off(unit.active_state == "active", text)
}

pub(super) fn launchd_service(service: &LaunchdService) -> Verdict {
    let text = match service.is_running {
        true => format!("running, process {}", service.pid),
        false => format!("not running, ended with {}", service.status),
    };
    on_or_off(service.is_running, text)
}

pub(super) fn windows_service(service: &WindowsService) -> Verdict {
    let text = format!(
        "{} is {} (start: {})",
        named(&service.display_name, &service.name),
        service.status,
        service.start_type
    );
    on_or_off(service.status == "Running", text)
}

/// Any error is a warning, unless something else is said.
pub(super) fn event_log(events: &[WindowsEvent], given: Option<Thresholds>) -> Verdict {
    let thresholds = given.unwrap_or(Thresholds {
        warn: Range::up_to(0.0),
        crit: None,
    });
    let errors = || events.iter().filter(|event| event.entry_type == ERROR);
    let count = errors().count() as f64;
    let mut text = format!("{} events, {count} errors", events.len());
    if let Some(last) = errors().max_by_key(|event| event.index) {
        let message: String = last.message.chars().take(200).collect();
        text.push_str(&format!(", the last from {}: {message}", last.source));
    }
    Verdict::measured(thresholds, count, text).metric(
        Metric::new("errors", count, "")
            .thresholds(thresholds)
            .limits(Some(0.0), None),
    )
}

pub(super) fn container_running(container: &Container) -> Verdict {
    let text = format!("{} is {}", container.image, container.status);
    on_or_off(container.state == "running", text)
}

pub(super) fn container_cpu(container: &Container, thresholds: Thresholds) -> Verdict {
    let busy = container.cpu_percentage;
    let metric = Metric::new("cpu", rounded(busy), "%").limits(Some(0.0), None);
    Verdict::measured(thresholds, busy, format!("{busy:.1} % of a processor"))
        .metric(metric.thresholds(thresholds))
}

pub(super) fn container_memory(container: &Container, thresholds: Thresholds) -> Verdict {
    let used = container.memory_percentage;
    // A share of what there is, so it fits.
    let text = format!("{used:.1} % used, {}", bytes(container.memory_used as u64));
    Verdict::measured(thresholds, used, text)
        .metric(percent("used_percent", used).thresholds(thresholds))
        .metric(Metric::new("used", container.memory_used, "B").limits(Some(0.0), None))
}

pub(super) fn guest(guest: &Guest) -> Verdict {
    let verdict = on_or_off(
        guest.is_running,
        match guest.is_running {
            true => "running".to_owned(),
            false => "not running".to_owned(),
        },
    );
    match &guest.cpu_usage {
        Some(cpu) => verdict
            .metric(percent("cpu_host", cpu.host_percent))
            .metric(percent("cpu_guest", cpu.guest_percent)),
        None => verdict,
    }
}

fn on_or_off(is_on: bool, text: String) -> Verdict {
    Verdict {
        state: match is_on {
            true => ServiceState::Ok,
            false => ServiceState::Crit,
        },
        ..Verdict::unknown(text)
    }
}

fn named<'a>(name: &'a str, otherwise: &'a str) -> &'a str {
    match name.is_empty() {
        true => otherwise,
        false => name,
    }
}
