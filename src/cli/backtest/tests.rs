//! The command as a whole, as it is called.

use std::path::Path;

use clap::Parser as _;

use super::super::arguments::{Arguments, Command};
use super::super::failure::EXIT_USAGE;
use super::judge::Judged;
use super::report::JudgedBy;
use super::*;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/backtest");

fn backtest_and_talk(words: &[&str]) -> Result<(String, String), Failure> {
    let words = ["kubectl-dbmedic", "backtest"].iter().chain(words);
    let arguments = Arguments::try_parse_from(words).map_err(|error| Failure::Usage(error.to_string()))?;
    let output = Output::new(&arguments.common);
    let Command::Backtest(inner) = &arguments.command else { unreachable!("asked for a backtest") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut out, mut talk) = (Vec::new(), Vec::new());
    assert_eq!(runtime.block_on(run(inner, &arguments.common, &output, &mut out, &mut talk))?, 0);
    Ok((String::from_utf8(out).unwrap(), String::from_utf8(talk).unwrap()))
}

/// What it writes to standard output.
fn backtest(words: &[&str]) -> Result<String, Failure> {
    backtest_and_talk(words).map(|(out, _)| out)
}

fn refused(words: &[&str]) -> String {
    let failure = backtest(words).unwrap_err();
    assert_eq!(failure.exit_code(), EXIT_USAGE, "{failure}");
    failure.to_string()
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn example(name: &str) -> String {
    format!("{EXAMPLES}/{name}")
}

#[test]
fn every_input_row_has_an_output_row_with_its_own_time_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        ("2026-03-01 00:00:10", "1.50"),
        ("2026-03-01 00:00:20", ""),
        ("2026-03-01 00:00:20", "7"),
        ("2026-03-01 00:00:05", "8"),
        ("2026-03-01T00:00:30.000Z", "NaN"),
        ("2026-03-01T01:00:40+01:00", "-1e3"),
    ];
    let text: String = rows.iter().map(|(time, value)| format!("{time},{value}\r\n")).collect();
    let csv = file(folder.path(), "f.csv", &format!("timestamp,v\r\n{text}\r\n"));
    let output = backtest(&["--csv", &csv, "--metric", "v", "-o", "csv"]).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "timestamp,value,expected,lower,upper,score,anomalous,incident");
    assert_eq!(lines.len(), 1 + rows.len());
    for (line, (time, value)) in lines[1..].iter().zip(&rows) {
        assert!(line.starts_with(&format!("{time},{value},")) && line.matches(',').count() == 7, "{line}");
    }
    // Nothing is known with the first row, and what is passed over or absent is not judged.
    for line in [1, 3, 4, 5] {
        assert!(lines[line].ends_with(",,,,0.0,0,"), "{}", lines[line]);
    }
    assert_eq!(output, backtest(&["--csv", &csv, "-o", "csv"]).unwrap(), "one column needs no name");
}

#[test]
fn a_picture_does_not_overwrite_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let csv = file(folder.path(), "a.csv", "timestamp,v\n2026-03-01 00:00:00,1\n");
    let rule = folder.path().join("rule.yaml").display().to_string();
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart/anomalyrule.yaml"), &rule).unwrap();
    let labels = file(folder.path(), "labels.json", "[]");
    let other = folder.path().join(".").join("a.csv").display().to_string();
    assert!(refused(&["--csv", &csv, "--svg", &other]).contains("which --csv reads, allowed: another file"));
    assert!(refused(&["--csv", &csv, "--labels", &labels, "--svg", &labels]).contains("which --labels reads"));
    assert!(std::fs::read_to_string(&csv).unwrap().starts_with("timestamp"));
    let svg = folder.path().join("a.svg").display().to_string();
    assert!(backtest(&["--csv", &csv, "--svg", &svg]).is_ok() && backtest(&["--csv", &csv, "--svg", &svg]).is_ok());
}

#[test]
fn where_no_row_was_judged_it_is_said_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..24).map(|hour| format!("2026-03-01 {hour:02}:00:00,{hour}\n")).collect();
    let csv = file(folder.path(), "a.csv", &format!("timestamp,response_time\n{text}"));
    let (_, talk) = backtest_and_talk(&["--csv", &csv]).unwrap();
    assert_eq!(talk, "No row was judged: needed are 150 values, or minutes where they come faster.\n");
    let rule = |detect: &str| {
        format!(
            "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {{name: a}}\n\
             spec:\n  baselineRef: {{name: orders}}\n  detect: {{metric: response_time, {detect}}}\n"
        )
    };
    let sigma = file(folder.path(), "sigma.yaml", &rule("sigma: {above: 3}"));
    let (_, talk) = backtest_and_talk(&["--csv", &csv, "--rule", &sigma]).unwrap();
    assert!(talk.contains("needed are values of its metric over 7 days, on 5 of them"), "{talk}");
    let expression = file(folder.path(), "expression.yaml", &rule("expression: \"current > 20\""));
    let (text, talk) = backtest_and_talk(&["--csv", &csv, "--rule", &expression]).unwrap();
    assert!(text.contains("24, 24 judged") && talk.is_empty(), "{text}{talk}");
}

/// The first incident of a report in JSON.
fn first_incident(words: &[&str]) -> serde_json::Value {
    let text = backtest(&[words, &["-o", "json"]].concat()).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    report["incidents"][0].clone()
}

#[test]
fn the_peak_of_an_incident_is_in_its_fault_and_not_in_its_recovery() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = file(
        folder.path(),
        "pattern.yaml",
        "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {name: a}\n\
         spec:\n  baselineRef: {name: orders}\n  for: 0s\n  detect: {metric: response_time, pattern: {}}\n",
    );
    let incident = first_incident(&["--csv", &example("response_time.csv"), "--rule", &pattern]);
    let figure = |incident: &serde_json::Value, field: &str| incident["peak"][field].as_f64().unwrap();
    assert!(figure(&incident, "value") > figure(&incident, "upper"), "{incident}");

    // A step so high that a single value tells it before its minute opens the incident.
    let start = 1_772_323_200_000;
    let mut text = "timestamp,v\n".to_owned();
    for row in 0..26_000_i64 {
        let noise = (row * 7_919 % 1_013) as f64 / 300.0;
        let fault = if (25_001..25_400).contains(&row) { 65.0 } else { 0.0 };
        let at = jiff::Timestamp::from_millisecond(start + row * 10_000).unwrap();
        text += &format!("{at},{}\n", 15.0 + noise + fault);
    }
    let incident = first_incident(&["--csv", &file(folder.path(), "s.csv", &text)]);
    assert!(figure(&incident, "value") > 70.0, "{incident}");
}

#[test]
fn a_score_near_certainty_is_not_rounded_to_it() {
    let mut rows = Rows::new(&b"timestamp,v\n2026-03-01 00:00:00,20.0\n"[..], "f", None).unwrap();
    let row = rows.next_row().unwrap().unwrap();
    let judged = Judged {
        expected: 1e300,
        lower: -0.1,
        upper: f64::INFINITY,
        score: 1.0 - 1e-12,
        anomalous: true,
        incident: Some(12),
        ..Judged::nothing(0)
    };
    let mut out = Vec::new();
    rows::write_row(&mut out, &row, &judged).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "2026-03-01 00:00:00,20.0,1e300,-0.1,,0.999999999999,1,12\n");
}

#[test]
fn the_example_is_judged_by_the_shipped_detectors_and_compared_with_its_labels() {
    let (csv, labels) = (example("response_time.csv"), example("labels.json"));
    let text = backtest(&["--csv", &csv, "--labels", &labels, "-o", "json"]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["rows"], 2016);
    assert_eq!(report["columns"][0]["unit"], "ms");
    assert!(report["incidentCount"].as_u64().unwrap() >= 1);
    assert_eq!(report["labels"]["windows"].as_array().unwrap().len(), 2);
    assert!(report["labels"]["recall"].as_f64().unwrap() >= 0.5, "{text}");
    for field in ["precision", "medianDelaySeconds", "falseIncidents", "falseIncidentsPerWeek"] {
        assert!(report["labels"].get(field).is_some(), "{field}");
    }
    let table = backtest(&["--csv", &csv, "--labels", &labels]).unwrap();
    for words in ["Rows:       2016", "Incidents:", "Labels:     ", "INCIDENT", "LABELLED FROM", "2026-03-02 00:00:00"]
    {
        assert!(table.contains(words), "{words}: {table}");
    }
}

#[test]
fn the_example_is_judged_by_its_rule_as_the_operator_would() {
    let (csv, rule, labels) = (example("response_time.csv"), example("anomalyrule.yaml"), example("labels.json"));
    let text = backtest(&["--csv", &csv, "--rule", &rule, "--labels", &labels, "-o", "json"]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["judgedBy"], "rule slow-at-this-hour");
    assert_eq!((&report["labels"]["recall"], &report["labels"]["precision"]), (&1.0.into(), &1.0.into()), "{text}");
    // Twenty minutes of breach are needed: the third row of ten minutes each.
    assert_eq!(report["labels"]["medianDelaySeconds"], 1200.0);
    let rows = backtest(&["--csv", &csv, "--rule", &rule, "-o", "csv"]).unwrap();
    let open = rows.lines().filter(|line| line.ends_with(",1") || line.ends_with(",2")).count();
    assert!(open >= 60 && rows.lines().count() == 2017, "{open}");
}

#[test]
fn the_heading_names_what_the_rule_judges_and_not_every_column() {
    let folder = tempfile::tempdir().unwrap();
    let csv = file(folder.path(), "f.csv", "timestamp,a,b\n2026-03-01 00:00:00,1,2\n2026-03-01 00:00:10,1,2\n");
    let rule = file(
        folder.path(),
        "r.yaml",
        "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {name: r}\nspec:\n  baselineRef: {name: x}\n  \
         severity: high\n  detect: {metric: b, limit: {above: 9}}\n",
    );
    let table = backtest(&["--csv", &csv, "--rule", &rule]).unwrap();
    assert!(table.contains("Judged:     b by rule r\n"), "{table}");
    assert!(table.contains("\nb\n"), "the plot is of it: {table}");
    let shipped = backtest(&["--csv", &csv]).unwrap();
    assert!(shipped.contains("Judged:     a, b by the shipped detectors"), "{shipped}");
}

#[test]
fn bad_input_is_refused_with_its_place_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let csv = file(folder.path(), "f.csv", "timestamp,a,b\n2026-03-01 00:00:00,1,2\n2026-03-01 00:00:10,1,x\n");
    let rule = |detect: &str| {
        let text = format!(
            "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {{name: r}}\nspec:\n  baselineRef: {{name: o}}\n  detect: {detect}\n"
        );
        file(folder.path(), "rule.yaml", &text)
    };
    assert!(refused(&["--csv", &csv]).contains("f.csv: line 3, column b: found \"x\""));
    assert!(refused(&["--csv", &csv, "--metric", "c"]).contains("found \"c\" for --metric, allowed: a, b"));
    assert!(refused(&["--csv", "nowhere.csv"]).starts_with("nowhere.csv: cannot be read"));
    let unknown = refused(&["--csv", &csv, "--metric", "a", "--rule", &rule("{metric: b, sigma: {above: 3}}")]);
    assert!(
        unknown.ends_with(
            "rule.yaml:6:20: spec.detect.metric: found \"b\", allowed one of a: a rule needs the columns that it names"
        ),
        "{unknown}"
    );
    for file in ["--rule", "--labels"] {
        let endless = refused(&["--csv", &csv, "--metric", "a", file, "/dev/zero"]);
        assert_eq!(endless, "/dev/zero: found more than 1048576 bytes, allowed: 1048576");
    }
    let names: String = (0..100_000).map(|column| format!(",c{column}")).collect();
    let wide = file(folder.path(), "wide.csv", &format!("timestamp{names}\n"));
    let many = refused(&["--csv", &wide]);
    assert!(many.ends_with("wide.csv: found 100000 columns, allowed together: 256; --metric chooses one"), "{many}");
    assert!(backtest(&["--csv", &wide, "--metric", "c99999"]).is_ok());
    let labels = file(folder.path(), "labels.json", "[[1, 2]]");
    assert!(
        refused(&["--csv", &csv, "--metric", "a", "--labels", &labels]).contains("labels.json: invalid type: integer")
    );
    assert!(refused(&[]).contains("--csv"));
    assert!(refused(&["--csv", &csv, "--baseline", "orders"]).contains("cannot be used with"));
    assert!(refused(&["--data-dir", "."]).contains("<--csv <FILE>|--baseline <NAME>>"));
    assert!(refused(&["-A", "--baseline", "orders"]).contains("name its namespace with -n"));
    assert!(refused(&["--baseline", "a/b/c"]).starts_with("--baseline: found \"a/b/c\", allowed: [NAMESPACE/]NAME"));
    assert!(
        refused(&["--baseline", "orders", "--data-dir", "nowhere"]).starts_with("--data-dir: found no history.sqlite")
    );
}

#[test]
fn few_rows_constant_rows_and_none_have_a_report() {
    let folder = tempfile::tempdir().unwrap();
    for rows in [0, 1, 2, 500] {
        let text: String =
            (0..rows).map(|row| format!("2026-03-{:02} {:02}:00:00,5\n", 1 + row / 24, row % 24)).collect();
        let csv = file(folder.path(), "f.csv", &format!("timestamp,v\n{text}"));
        let table = backtest(&["--csv", &csv]).unwrap();
        assert!(table.contains(&format!("Rows:       {rows}, ")) && table.contains("Incidents:  0"), "{table}");
        let report: serde_json::Value =
            serde_json::from_str(&backtest(&["--csv", &csv, "-o", "json"]).unwrap()).unwrap();
        assert_eq!((&report["rows"], &report["incidentCount"]), (&rows.into(), &0.into()));
    }
}

#[test]
fn all_columns_are_judged_together_and_the_one_that_carries_an_incident_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..600)
        .map(|row| {
            let wobble = f64::from((row * 7919) % 13) / 13.0;
            let b = if (400..420).contains(&row) { 90.0 } else { 5.0 + wobble };
            format!("2026-03-{:02} {:02}:{:02}:00,{},{b}\n", 1 + row / 144, row / 6 % 24, row % 6 * 10, 10.0 - wobble)
        })
        .collect();
    let csv = file(folder.path(), "f.csv", &format!("timestamp,a,b\n{text}"));
    let report: serde_json::Value = serde_json::from_str(&backtest(&["--csv", &csv, "-o", "json"]).unwrap()).unwrap();
    assert_eq!(report["incidents"][0]["metric"], "b", "{report}");
    let rows = backtest(&["--csv", &csv, "-o", "csv"]).unwrap();
    let alarm = rows.lines().find(|line| line.split(',').nth(6) == Some("1")).unwrap();
    assert_eq!(alarm.split(',').nth(1), Some("90"), "{alarm}");
    assert!(backtest(&["--csv", &csv]).unwrap().contains("METRIC"));
}

#[test]
fn a_picture_is_written_beside_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("p.svg").display().to_string();
    let csv = example("response_time.csv");
    let rows = backtest(&["--csv", &csv, "--svg", &svg, "-o", "csv"]).unwrap();
    assert_eq!(rows, backtest(&["--csv", &csv, "-o", "csv"]).unwrap());
    assert!(std::fs::read_to_string(&svg).unwrap().starts_with("<svg "));
    let nowhere = backtest(&["--csv", &csv, "--svg", "no/where.svg"]).unwrap_err();
    assert!(nowhere.to_string().starts_with("--svg no/where.svg: ") && nowhere.exit_code() == 1);
    // It is said before a row is read.
    let wrong = file(folder.path(), "f.csv", "timestamp,a\nyesterday,1\n");
    let nowhere = backtest(&["--csv", &wrong, "--svg", "no/where.svg"]).unwrap_err();
    assert!(nowhere.to_string().starts_with("--svg no/where.svg: "), "{nowhere}");
}

#[test]
fn the_operators_history_is_judged_like_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = crate::history::Store::open(folder.path().join(crate::history::FILE)).await.unwrap();
        let key =
            crate::measure::TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "orders-0".into() };
        let series = store.target(&key, &["throughput".to_owned()]).await.unwrap();
        for round in 0..50_u8 {
            store
                .append(&series, 1_772_323_200_000 + 10_000 * i64::from(round), &[0.1 + f32::from(round % 3)])
                .await
                .unwrap();
        }
        store.close().await;
    });
    let data_dir = folder.path().display().to_string();
    let place = ["--data-dir", &data_dir, "--baseline", "shop/orders", "--pod", "orders-0", "--metric", "throughput"];
    let rows = backtest(&[&place[..], &["-o", "csv"]].concat()).unwrap();
    assert_eq!(rows.lines().count(), 51);
    assert!(rows.lines().nth(1).is_some_and(|line| line.starts_with("2026-03-01T00:00:00Z,0.1,")), "{rows}");
    assert!(backtest(&place).unwrap().contains("Source:     shop/orders, pod orders-0"));
    assert!(backtest(&["-n", "shop", "--data-dir", &data_dir, "--baseline", "orders"]).is_ok());
}

pub(super) fn judged(text: &str, judge: &mut Judge) -> String {
    let mut rows = Rows::new(text.as_bytes(), "f.csv", None).unwrap();
    let columns = rows.columns().len();
    let mut out = Vec::new();
    let mut summary = Summary::new(columns, Some(Vec::new()));
    pass(&mut rows, judge, Some(&mut out), Some(&mut summary)).unwrap();
    let format = rows.format();
    let names = rows.columns().to_vec();
    let canvas = Canvas { width: 80, unicode: true };
    let report = BacktestReport::new("f.csv", &names, JudgedBy::all("", &names), format, summary, canvas);
    picture(&report).draw();
    super::super::output::Report::text(&report, true, true, true);
    String::from_utf8(out).unwrap()
}

#[test]
fn labels_are_compared_beside_the_rows_as_well() {
    let (csv, labels) = (example("response_time.csv"), example("labels.json"));
    let (rows, talk) = backtest_and_talk(&["--csv", &csv, "--labels", &labels, "-o", "csv"]).unwrap();
    assert_eq!(rows, backtest(&["--csv", &csv, "-o", "csv"]).unwrap());
    assert!(talk.starts_with("Labels: 2 of 2 found, median delay "), "{talk}");
    assert!(talk.contains("precision") && talk.contains("recall"), "{talk}");
}

#[test]
fn rows_that_are_passed_over_are_counted_beside_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let csv = file(folder.path(), "f.csv", "timestamp,v\n2026-03-01 00:00:10,1\n2026-03-01 00:00:10,1\n");
    let (_, talk) = backtest_and_talk(&["--csv", &csv]).unwrap();
    assert_eq!(
        talk,
        "Passed over because the time is not after that of a row before (the oldest comes first): 1 row.\n\
         No row was judged: needed are 150 values, or minutes where they come faster.\n"
    );
}

/// A disk without room.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_in_every_form() {
    for form in ["table", "json", "csv"] {
        let csv = example("response_time.csv");
        let arguments = Arguments::try_parse_from(["x", "backtest", "--csv", &csv, "-o", form]).unwrap();
        let Command::Backtest(inner) = &arguments.command else { unreachable!("asked for a backtest") };
        let output = Output::new(&arguments.common);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let failure =
            runtime.block_on(run(inner, &arguments.common, &output, &mut Full, &mut std::io::sink())).unwrap_err();
        assert!(failure.to_string().starts_with("cannot write: ") && failure.exit_code() == 1, "{form}: {failure}");
    }
}

#[test]
fn the_greatest_numbers_are_shown_and_never_as_infinite() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String =
        (0..50).map(|row| format!("2026-03-01 {:02}:{:02}:00,1.797e308\n", row / 60, row % 60)).collect();
    let csv = file(folder.path(), "f.csv", &format!("timestamp,v\n{rows}"));
    let table = backtest(&["--csv", &csv]).unwrap();
    assert!(table.contains("1.8e308 │") || table.contains("1.8e308 |"), "{table}");
    assert!(!table.contains("inf"), "{table}");
}
