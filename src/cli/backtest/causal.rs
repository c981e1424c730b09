//! Causality of the command: whatever comes later, what was said of a row stays. On series that are long enough for the
//! detectors to know what is normal, with faults that they alarm on: a prefix of silence would prove nothing.

use proptest::prelude::*;

use super::judge::Judge;
use super::tests::judged;
use super::*;
use crate::cli::series::TimestampFormat;

/// 2026-03-02 00:00:00 UTC, a Monday.
const MONDAY: i64 = 1_772_409_600_000;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// A number from 0 to 1 that looks like chance and is none.
fn noise(seed: u64, row: usize, column: usize) -> f64 {
    let mixed =
        (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_add((row * 3 + column + 1) as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Lines of a CSV with a daily course; a third of it on, a spike and then a step; with holes, late rows and absent cells.
fn lines(seed: u64, rows: usize, columns: usize, step_s: i64) -> Vec<String> {
    let format = TimestampFormat { fraction: 3, ..TimestampFormat::default() };
    let mut at = MONDAY;
    let mut lines = Vec::new();
    for row in 0..rows {
        let chance = noise(seed, row, 7);
        at += step_s * 1000 * if chance > 0.99 { 5 } else { 1 };
        // A row that comes late is passed over.
        let written = if chance < 0.01 { at - 2 * step_s * 1000 } else { at };
        let mut line = format.print(written);
        for column in 0..columns {
            let hour = (at / 3_600_000 % 24) as f64;
            let course = 100.0 + 20.0 * (std::f64::consts::TAU * hour / 24.0).sin() + 5.0 * noise(seed, row, column);
            let faulty = column == 0 && (row == rows * 6 / 10 || (rows * 8 / 10..rows * 9 / 10).contains(&row));
            let value = if faulty { 1e4 + course } else { course };
            let absent = noise(seed, row, column + 11) > 0.98;
            line.push_str(&if absent { ",".to_owned() } else { format!(",{value:?}") });
        }
        lines.push(format!("{line}\n"));
    }
    lines
}

fn text(lines: &[String], columns: usize) -> String {
    format!("timestamp,{}\n{}", NAMES[..columns].join(","), lines.concat())
}

fn a_judge(kind: usize, columns: usize) -> Judge {
    let names: Vec<String> = NAMES[..columns].iter().map(|name| (*name).to_owned()).collect();
    let detect = match kind {
        0 => return Judge::shipped(&names, Sensitivity::High),
        1 => "{metric: a, limit: {above: 1000}}",
        _ => "{metric: a, sigma: {above: 6}}",
    };
    let text = format!(
        "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {{name: r}}\n\
         spec:\n  baselineRef: {{name: o}}\n  for: 0s\n  detect: {detect}\n"
    );
    let Ok(judging) = rule::parse(text.as_bytes(), &names) else { unreachable!("a valid rule") };
    Judge::Rule(Box::new(judging.recorded))
}

fn incidents(output: &str) -> usize {
    output.lines().skip(1).filter(|line| line.rsplit(',').next().is_some_and(|number| !number.is_empty())).count()
}

#[test]
fn the_series_that_causality_is_tried_on_have_alarms_and_incidents() {
    let slow = [(0, 1), (0, 2), (0, 3), (1, 1), (2, 2)].map(|judge| (judge, 500, 1800));
    let fast = [(0, 1), (0, 2), (1, 1)].map(|judge| (judge, 3000, 10));
    for ((kind, columns), rows, step_s) in slow.into_iter().chain(fast) {
        let output = judged(&text(&lines(1, rows, columns, step_s), columns), &mut a_judge(kind, columns));
        assert!(incidents(&output) >= 10, "{kind} {columns} {step_s}: {}", incidents(&output));
        assert!(output.lines().filter(|line| line.split(',').nth(6) == Some("1")).count() >= 1, "{kind} {columns}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_row_s_outcome_depends_on_no_later_row(
        seed in any::<u64>(),
        (rows, step_s) in prop_oneof![(200_usize..900, 600_i64..3600), (2000_usize..3500, 5_i64..60)],
        (kind, columns) in (0_usize..3, 1_usize..=3),
        cut in 0.3..1.0_f64,
    ) {
        let lines = lines(seed, rows, columns, step_s);
        let whole = judged(&text(&lines, columns), &mut a_judge(kind, columns));
        let cut = (rows as f64 * cut) as usize;
        let part = judged(&text(&lines[..cut], columns), &mut a_judge(kind, columns));
        prop_assert!(whole.starts_with(&part));
        prop_assert_eq!(part.lines().count(), cut + 1);
        prop_assert_eq!(&whole, &judged(&text(&lines, columns), &mut a_judge(kind, columns)));
        for line in whole.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            prop_assert_eq!(fields.len(), 8);
            let score: f64 = fields[5].parse().unwrap();
            prop_assert!((0.0..=1.0).contains(&score));
        }
    }
}
