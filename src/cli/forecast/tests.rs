use std::io::Write;

use clap::{CommandFactory, FromArgMatches};

use super::super::arguments::{Arguments, Command};
use super::*;

const HOUR_MS: i64 = 3_600_000;

fn parsed(words: &[&str]) -> Result<(ForecastArguments, Common), clap::Error> {
    let words = ["kubectl-dbmedic", "forecast"].iter().chain(words);
    let arguments = Arguments::from_arg_matches(&Arguments::command().try_get_matches_from(words)?)?;
    match arguments.command {
        Command::Forecast(forecast) => Ok((*forecast, arguments.common)),
        other => panic!("{other:?}"),
    }
}

async fn ran(file: &str, words: &[&str]) -> Result<String, String> {
    let mut temporary = tempfile::NamedTempFile::new().unwrap();
    temporary.write_all(file.as_bytes()).unwrap();
    let path = temporary.path().display().to_string();
    let words: Vec<&str> = ["--csv", &path].into_iter().chain(words.iter().copied()).collect();
    let (arguments, common) = parsed(&words).map_err(|error| error.to_string())?;
    let text = run(&arguments, &common, &Output::new(&common)).await;
    text.map_err(|failure| failure.to_string().replace(&path, "FILE"))
}

fn hourly(count: i64, line: impl Fn(i64) -> Option<String>) -> String {
    let lines = (0..count).filter_map(|row| line(row).map(|line| format!("{line}\n")));
    std::iter::once("timestamp,load,other\n".to_owned()).chain(lines).collect()
}

fn load(row: i64) -> f64 {
    100.0 + 30.0 * (std::f64::consts::TAU * (row % 24) as f64 / 24.0).sin()
}

fn time(row: i64) -> String {
    format!("2026-03-{:02} {:02}:00:00", 1 + row / 24, row % 24)
}

#[tokio::test]
async fn a_daily_course_goes_on_in_the_files_own_form() {
    let file = hourly(240, |row| Some(format!("{},{},7", time(row), load(row))));
    let text = ran(&file, &["--metric", "load", "--horizon", "3", "-o", "csv"]).await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "timestamp,predicted,lower,upper");
    assert_eq!(lines.len(), 4);
    for (line, row) in lines[1..].iter().zip(240..) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[0], time(row));
        let [predicted, lower, upper] = [1, 2, 3].map(|cell| cells[cell].parse::<f64>().unwrap());
        assert!((predicted - load(row)).abs() < 3.0, "{line}: {}", load(row));
        assert!(lower <= predicted && predicted <= upper, "{line}");
    }
}

#[tokio::test]
async fn gaps_missing_cells_repeated_and_late_rows_are_put_up_with() {
    let file = hourly(240, |row| match row {
        50..60 => None,
        70..75 => Some(format!("{},,7", time(row))),
        100 => Some(format!("{},{},7\n{},1e9,7", time(row), load(row), time(row))),
        120 => Some(format!("{},{},7\n{},1e9,7", time(row), load(row), time(3))),
        _ => Some(format!("{},{},7", time(row), load(row))),
    });
    let text = ran(&file, &["--metric", "load", "--horizon", "24", "-o", "json"]).await.unwrap();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["stepsUsed"], 240);
    assert_eq!(found["stepsMissing"], 15);
    assert_eq!(found["stepSeconds"], 3600.0);
    for (step, row) in found["expected"].as_array().unwrap().iter().zip(240..) {
        assert!((step["predicted"].as_f64().unwrap() - load(row)).abs() < 8.0, "{step} {}", load(row));
    }
}

#[tokio::test]
async fn a_narrower_level_is_a_narrower_interval() {
    let file = hourly(200, |row| Some(format!("{},{},7", time(row), load(row) + (row * 7919 % 13) as f64)));
    let width = async |level: &str| {
        let words = ["--metric", "load", "--horizon", "1", "--level", level, "-o", "json"];
        let found: serde_json::Value = serde_json::from_str(&ran(&file, &words).await.unwrap()).unwrap();
        let step = &found["expected"][0];
        step["upper"].as_f64().unwrap() - step["lower"].as_f64().unwrap()
    };
    let (half, most) = (width("50").await, width("99%").await);
    assert!(0.0 < half && half < 0.5 * most, "{half} {most}");
}

#[tokio::test]
async fn what_cannot_be_forecast_is_said() {
    let two = "timestamp,load,other\n2026-03-01T00:00:00Z,1,2\n2026-03-01T01:00:00Z,1,2\n";
    for (file, words, said) in [
        ("timestamp,load\n", &["--horizon", "3"][..], "found no value"),
        (
            "timestamp,load\n2026-03-01T00:00:00Z,1\n",
            &["--horizon", "3"],
            "found one row with a value, allowed: at least two",
        ),
        ("timestamp,load\n2026-03-01T00:00:00Z,\n2026-03-01T01:00:00Z,\n", &["--horizon", "3"], "found no value"),
        (two, &["--horizon", "3"], "several columns"),
        (two, &["--horizon", "3", "--metric", "lode"], "lode"),
        (two, &["--horizon", "0", "--metric", "load"], "from 1 to 100000"),
        (two, &["--horizon", "-1", "--metric", "load"], "from 1 to 100000"),
        (two, &["--horizon", "3", "--metric", "load", "--level", "-5"], "1 to 99.9"),
        (two, &["--metric", "load"], "--horizon"),
        (two, &["--horizon", "3", "--metric", "load", "--level", "100"], "1 to 99.9"),
        (two, &["--horizon", "3", "--metric", "load", "-o", "name"], "-o: found name"),
        ("", &["--horizon", "3"], "FILE"),
    ] {
        let error = ran(file, words).await.unwrap_err();
        assert!(error.contains(said), "{words:?}: {error}");
    }
    assert!(parsed(&["--horizon", "3", "--baseline", "shop/orders"]).is_err(), "a history has many metrics");
}

#[tokio::test]
async fn two_rows_are_enough_for_a_level() {
    let file = "timestamp,load\n2026-03-01T00:00:00Z,5\n2026-03-01T00:00:10Z,5\n";
    let text = ran(file, &["--horizon", "2", "-o", "csv"]).await.unwrap();
    assert_eq!(
        text,
        "timestamp,predicted,lower,upper\n2026-03-01T00:00:20Z,5.0,5.0,5.0\n2026-03-01T00:00:30Z,5.0,5.0,5.0\n"
    );
}

#[tokio::test]
async fn a_series_of_the_operators_history_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::history::Store::open(folder.path().join(crate::history::FILE)).await.unwrap();
    let key = crate::measure::TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "orders-0".into() };
    let series = store.target(&key, &["throughput".to_owned(), "response_time".to_owned()]).await.unwrap();
    // 2026-03-02 00:00:00 UTC.
    for row in 0..240_i64 {
        store.append(&series, 1_772_409_600_000 + row * HOUR_MS, &[7.0, load(row) as f32]).await.unwrap();
    }
    store.close().await;
    let data_dir = folder.path().display().to_string();
    let place =
        ["--data-dir", &data_dir, "--baseline", "shop/orders", "--pod", "orders-0", "--metric", "response_time"];
    let forecast = async |form: &str| {
        let (arguments, common) = parsed(&[&place[..], &["--horizon", "24", "-o", form]].concat()).unwrap();
        run(&arguments, &common, &Output::new(&common)).await.unwrap()
    };
    let text = forecast("csv").await;
    assert_eq!(text.lines().count(), 25);
    for (line, row) in text.lines().skip(1).zip(240..) {
        let predicted: f64 = line.split(',').nth(1).unwrap().parse().unwrap();
        assert!((predicted - load(row)).abs() < 3.0, "{line}: {}", load(row));
    }
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("2026-03-12T00:00:00Z,")), "{text}");
    let found: serde_json::Value = serde_json::from_str(&forecast("json").await).unwrap();
    assert_eq!((&found["source"], &found["unit"]), (&"shop/orders, pod orders-0".into(), &"ms".into()));
}

#[tokio::test]
async fn no_time_is_forecast_that_cannot_be_read_back() {
    let file = "timestamp,load\n9999-12-31T23:00:00Z,5\n9999-12-31T23:30:00Z,5\n";
    let said = ran(file, &["--horizon", "1", "-o", "csv"]).await.unwrap_err();
    let words = "found a last row at 9999-12-31T23:30:00Z and 1 step of 1800 s, allowed: an end before the year 10000";
    assert_eq!(said, format!("FILE: column load: {words}"));
    let file = "timestamp,load\n9999-12-31T22:00:00Z,5\n9999-12-31T22:30:00Z,5\n";
    assert!(ran(file, &["--horizon", "2", "-o", "csv"]).await.is_ok());
}

#[test]
fn a_day_and_a_week_follow_from_the_step() {
    for (step, expected) in [
        (HOUR_MS, vec![24, 168]),
        (5 * 60_000, vec![288, 2_016]),
        (10_000, vec![8_640, 60_480]),
        (DAY_MS, vec![7]),
        (7 * HOUR_MS, vec![24]),
        (11 * 60_000, vec![]),
        (30 * DAY_MS, vec![]),
        (1, vec![86_400_000, 604_800_000]),
        (i64::MAX / 4, vec![]),
    ] {
        assert_eq!(periods(step), expected, "{step}");
    }
}

#[test]
fn the_grid_ends_at_the_last_row_and_is_bounded() {
    let samples = [(0, 1.0), (10, 2.0), (19, 3.0), (21, 5.0), (50, 6.0)];
    let rows = grid(&samples, 10);
    assert_eq!(rows.len(), 6);
    assert_eq!((rows[0], rows[1], rows[2], rows[5]), (1.0, 2.0, 4.0, 6.0));
    assert!(rows[3].is_nan() && rows[4].is_nan());
    assert_eq!(median_step(&samples), Some(9));
    let far = [(i64::MIN, 1.0), (i64::MAX - 1, 2.0), (i64::MAX, 3.0)];
    assert!(grid(&far, 1).len() <= MOST_ROWS as usize);
}
