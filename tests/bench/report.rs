//! The table of a benchmark: what was measured, who, how much, and how that
//! stands to ours.

use serde_json::{Value, json};

/// Ours in the column `program`.
pub(crate) const OURS: &str = "sitewire";
/// What the machine can do at all.
pub(crate) const LIMIT: &str = "limit";

/// One line of the table.
pub(crate) struct Row {
    /// What was measured.
    pub(crate) work: String,
    pub(crate) program: String,
    pub(crate) version: String,
    /// `None` where the program could not be measured; `note` says why.
    pub(crate) figure: Option<f64>,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) note: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

impl Better {
    fn word(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
        }
    }
}

/// All lines of a run.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The figure divided by ours of the same work and unit.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let ours = self.rows.iter().find(|other| {
            other.program == OURS && other.work == row.work && other.unit == row.unit
        })?;
        Some(row.figure? / ours.figure.filter(|figure| *figure > 0.0)?)
    }

    /// Prints the table for people.
    pub(crate) fn print(&self) {
        println!(
            "{:<34} {:<12} {:>12} {:<10} {:>8}  note",
            "work", "program", "figure", "unit", "to ours"
        );
        for row in &self.rows {
            let figure = row.figure.map_or_else(|| "-".to_owned(), short);
            let ratio = self
                .ratio(row)
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            println!(
                "{:<34} {:<12} {figure:>12} {:<10} {ratio:>8}  {}",
                row.work, row.program, row.unit, row.note
            );
        }
    }

    /// The table for programs: one object a line.
    pub(crate) fn json_lines(&self) -> String {
        let line = |row: &Row| -> Value {
            json!({
                "work": row.work,
                "program": row.program,
                "version": row.version,
                "figure": row.figure,
                "unit": row.unit,
                "better": row.better.word(),
                "ratio_to_ours": self.ratio(row),
                "note": row.note,
            })
        };
        self.rows
            .iter()
            .map(|row| line(row).to_string() + "\n")
            .collect()
    }
}

/// Three significant places, or whole numbers.
fn short(figure: f64) -> String {
    match figure.abs() {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        1.0.. => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

/// The middle of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => figures[len / 2],
        len => f64::midpoint(figures[len / 2 - 1], figures[len / 2]),
    }
}

/// So far from the beginning of sorted figures.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
