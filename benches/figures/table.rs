//! What was measured, next to its goal and to what it is compared with.

use std::time::Duration;

/// One measured figure.
pub struct Figure {
    what: String,
    measured: String,
    goal: String,
    compared: String,
    met: Option<bool>,
}

impl Figure {
    /// A figure without a goal.
    pub fn new(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { what: what.into(), measured: measured.into(), goal: String::new(), compared: String::new(), met: None }
    }

    /// The goal, and whether it is met.
    #[must_use]
    pub fn goal(mut self, goal: &str, met: bool) -> Self {
        goal.clone_into(&mut self.goal);
        self.met = Some(met);
        self
    }

    /// What it is compared with.
    #[must_use]
    pub fn against(mut self, compared: impl Into<String>) -> Self {
        self.compared = compared.into();
        self
    }
}

/// Prints figures as a table in Markdown, which reads as well in a terminal, and then the goals that are missed.
pub fn print(figures: &[Figure]) {
    let header = ["figure", "measured", "goal", "", "compared with"].map(String::from);
    let rows: Vec<[String; 5]> = std::iter::once(header)
        .chain(figures.iter().map(|figure| {
            let met = match figure.met {
                Some(true) => "met",
                Some(false) => "**missed**",
                None => "",
            };
            [&figure.what, &figure.measured, &figure.goal, met, &figure.compared].map(ToString::to_string)
        }))
        .collect();
    let widths: Vec<usize> =
        (0..5).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("| {} |", cells.join(" | "));
        if index == 0 {
            println!("|{}|", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|"));
        }
    }
    let missed: Vec<&str> =
        figures.iter().filter(|figure| figure.met == Some(false)).map(|figure| figure.what.as_str()).collect();
    let goals = figures.iter().filter(|figure| figure.met.is_some()).count();
    println!();
    if missed.is_empty() {
        println!("figures: all {goals} goals met");
    } else {
        println!("figures: {} of {goals} goals met; missed: {}", goals - missed.len(), missed.join("; "));
    }
}

/// Says what is being measured now.
pub fn progress(what: &str) {
    eprintln!("bench: {what}");
}

/// Milliseconds of a duration.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The value below which this share (0 to 1) of the values lies: the nearest rank. Zero of no values.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied().unwrap_or(0.0)
}
