//! Temperatures and batteries, from `/sys`.

use std::fs;
use std::path::{Path, PathBuf};

use agent::document::{Battery, Sensors, Temperature};

use super::part::{Collector, Finding, Part};
use super::root::{Root, number, percentage, word};

/// All sensors of the machine. Asking a slow chip takes its time.
pub(crate) struct Thermometers {
    pub(crate) root: Root,
}

impl Collector for Thermometers {
    fn collect(&mut self) -> Result<Finding, String> {
        let mut temperatures = chips(&self.root);
        if temperatures.is_empty() {
            temperatures = zones(&self.root);
        }
        let sensors = Sensors {
            temperatures,
            batteries: batteries(&self.root),
        };
        Ok(Part::Sensors(sensors).into())
    }
}

/// `hwmon*/tempN_input`, in older drivers one directory deeper.
fn chips(root: &Root) -> Vec<Temperature> {
    let mut found = Vec::new();
    for chip in sorted(&root.path("sys/class/hwmon")) {
        let inputs = inputs(&chip);
        let (directory, inputs) = match inputs.is_empty() {
            false => (chip.clone(), inputs),
            true => {
                let deeper = chip.join("device");
                let inputs = self::inputs(&deeper);
                (deeper, inputs)
            }
        };
        let name = word(&directory.join("name"))
            .or_else(|| word(&chip.join("name")))
            .unwrap_or_default();
        let place = place(&chip).unwrap_or_else(|| name.clone());
        found.extend(inputs.iter().filter_map(|input| {
            let file = |what: &str| directory.join(format!("{input}_{what}"));
            // A chip that is asleep refuses.
            let current = number(&file("input"))?;
            let degrees = |what| number(&file(what)).map_or(0.0, thousandths);
            let label = word(&file("label")).filter(|label| !label.is_empty());
            Some(Temperature {
                label: match label {
                    Some(label) => format!("{name}_{}", label.to_lowercase().replace(' ', "_")),
                    None => name.clone(),
                },
                current: Some(thousandths(current)),
                high: degrees("max"),
                critical: degrees("crit"),
                chip: place.clone(),
                sensor: input.clone(),
            })
        }));
    }
    found
}

/// Bus and device, as node_exporter names a chip: names of drivers are not
/// unique.
fn place(chip: &Path) -> Option<String> {
    let device = fs::canonicalize(chip.join("device")).ok()?;
    let name = |path: &Path| {
        path.file_name()
            .map(|name| metric_word(&name.to_string_lossy()))
    };
    let (bus, device) = (name(device.parent()?), name(&device)?);
    Some(match bus {
        Some(bus) => format!("{bus}_{device}"),
        None => device,
    })
}

/// In lower case, and everything that is no letter or digit as an underscore.
fn metric_word(text: &str) -> String {
    let lower = text.to_lowercase();
    let word = lower.replace(|c: char| !c.is_ascii_alphanumeric() && c != ':', "_");
    word.trim_matches('_').to_owned()
}

/// `temp1`, `temp2`, …
fn inputs(directory: &Path) -> Vec<String> {
    let mut inputs: Vec<(u32, String)> = sorted(directory)
        .iter()
        .filter_map(|path| {
            let input = path.file_name()?.to_str()?.strip_suffix("_input")?;
            let number = input.strip_prefix("temp")?.parse().ok()?;
            Some((number, input.to_owned()))
        })
        .collect();
    inputs.sort();
    inputs.into_iter().map(|(_, input)| input).collect()
}

/// Where there is no chip, there may be a zone.
fn zones(root: &Root) -> Vec<Temperature> {
    let zone = |path: PathBuf| {
        let is_zone = path.file_name()?.to_str()?.starts_with("thermal_zone");
        let current = number(&path.join("temp")).filter(|_| is_zone)?;
        Some(Temperature {
            label: word(&path.join("type")).unwrap_or_default(),
            current: Some(thousandths(current)),
            ..Temperature::default()
        })
    };
    let zones = sorted(&root.path("sys/class/thermal"));
    zones.into_iter().filter_map(zone).collect()
}

fn batteries(root: &Root) -> Vec<Battery> {
    let supplies = sorted(&root.path("sys/class/power_supply"));
    let batteries = supplies
        .into_iter()
        .filter(|path| word(&path.join("type")).as_deref() == Some("Battery"));
    (0..)
        .zip(batteries)
        .map(|(id, path)| Battery {
            id,
            percent: Some(charge(&path)),
            // The original never knows.
            secsleft: 0.0,
            power_plugged: matches!(
                word(&path.join("status")).as_deref(),
                Some("Full" | "Charging" | "Not charging")
            ),
        })
        .collect()
}

/// Drivers tell of energy, of charge, or only of a whole percentage.
fn charge(path: &Path) -> f64 {
    for what in ["energy", "charge"] {
        let amount = |when| number(&path.join(format!("{what}_{when}"))).map(|n| n as f64);
        if let (Some(now), Some(full)) = (amount("now"), amount("full"))
            && full > 0.0
        {
            return percentage(now, full).clamp(0.0, 100.0);
        }
    }
    number(&path.join("capacity")).map_or(0.0, |percent| percent.clamp(0, 100) as f64)
}

fn thousandths(number: i64) -> f64 {
    number as f64 / 1000.0
}

/// What is in a directory; nothing if there is none.
fn sorted(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    // `hwmon10` comes after `hwmon9`.
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Sensors {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join("sys/class").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        let mut sensors = Thermometers {
            root: Root::at(directory.path()),
        };
        match sensors.collect().unwrap().part {
            Part::Sensors(sensors) => sensors,
            _ => panic!("these are no sensors"),
        }
    }

    fn labels(sensors: &Sensors) -> Vec<&str> {
        let labels = sensors.temperatures.iter();
        labels
            .map(|temperature| temperature.label.as_str())
            .collect()
    }

    #[test]
    fn chips_come_with_their_labels_and_limits() {
        let sensors = machine(&[
            ("hwmon/hwmon0/name", "coretemp"),
            ("hwmon/hwmon0/temp1_input", "41000"),
            ("hwmon/hwmon0/temp1_label", "Package id 0"),
            ("hwmon/hwmon0/temp1_max", "80000"),
            ("hwmon/hwmon0/temp1_crit", "100000"),
            ("hwmon/hwmon0/temp10_input", "-2500"),
            ("hwmon/hwmon0/temp2_input", "asleep"),
            ("hwmon/hwmon0/fan1_input", "900"),
            ("hwmon/hwmon1/device/name", "acpitz"),
            ("hwmon/hwmon1/device/temp1_input", "38500"),
            ("thermal/thermal_zone0/type", "x86_pkg_temp"),
            ("thermal/thermal_zone0/temp", "1000"),
        ]);
        assert_eq!(
            labels(&sensors),
            ["coretemp_package_id_0", "coretemp", "acpitz"]
        );
        let first = &sensors.temperatures[0];
        assert_eq!(
            (first.current, first.high, first.critical),
            (Some(41.0), 80.0, 100.0)
        );
        assert_eq!(sensors.temperatures[1].current, Some(-2.5));
        assert_eq!(sensors.temperatures[2].high, 0.0);
        assert!(sensors.batteries.is_empty());
    }

    #[test]
    fn without_any_chip_the_zones_are_shown() {
        let sensors = machine(&[
            ("thermal/cooling_device0/type", "Processor"),
            ("thermal/thermal_zone0/type", "cpu-thermal"),
            ("thermal/thermal_zone0/temp", "45678"),
        ]);
        assert_eq!(labels(&sensors), ["cpu-thermal"]);
        assert_eq!(sensors.temperatures[0].current, Some(45.678));
    }

    #[test]
    fn batteries_are_counted_and_their_charge_is_a_share() {
        let sensors = machine(&[
            ("power_supply/AC/type", "Mains"),
            ("power_supply/BAT0/type", "Battery"),
            ("power_supply/BAT0/status", "Discharging"),
            ("power_supply/BAT0/energy_now", "30"),
            ("power_supply/BAT0/energy_full", "40"),
            ("power_supply/BAT1/type", "Battery"),
            ("power_supply/BAT1/status", "Not charging"),
            ("power_supply/BAT1/charge_now", "3"),
            ("power_supply/BAT1/charge_full", "0"),
            ("power_supply/BAT1/capacity", "80"),
        ]);
        let found: Vec<_> = sensors
            .batteries
            .iter()
            .map(|battery| (battery.id, battery.percent, battery.power_plugged))
            .collect();
        assert_eq!(found, [(0, Some(75.0), false), (1, Some(80.0), true)]);
    }

    #[test]
    fn a_machine_without_sensors_has_empty_lists() {
        assert_eq!(machine(&[]), Sensors::default());
    }
}
