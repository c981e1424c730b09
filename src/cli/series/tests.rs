use std::io::Read;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::history::Store;
use crate::measure::TargetKey;

fn read(text: &[u8], metric: Option<&str>) -> Result<Table, SeriesError> {
    table(Rows::new(text, "f.csv", metric)?)
}

fn nothing() -> Box<dyn Read> {
    Box::new(std::io::empty())
}

fn said(text: &[u8], metric: Option<&str>) -> String {
    read(text, metric).unwrap_err().to_string()
}

#[test]
fn bad_input_is_named_by_file_line_and_column() {
    let table: [(&[u8], Option<&str>, &str); 18] = [
        (b"", None, "f.csv: is empty, allowed: a header with a column named timestamp, then rows"),
        (b"\n\n", None, "f.csv: is empty, allowed: a header with a column named timestamp, then rows"),
        (
            b"2026-03-01 00:00:00,1\n",
            None,
            "f.csv: line 1: found the columns 2026-03-01 00:00:00, 1; allowed: one named timestamp, and numbers: the first \
             line looks like data, the header is missing",
        ),
        (b"time,v\n", None, "f.csv: line 1: found the columns time, v; allowed: one named timestamp, and numbers"),
        (
            b"timestamp;v\n",
            None,
            "f.csv: line 1: found the columns timestamp;v; allowed: one named timestamp, and numbers: fields are separated \
             by commas",
        ),
        (b"timestamp\n", None, "f.csv: line 1: found no column beside timestamp, allowed: at least one with numbers"),
        (b"timestamp,a,b\n", Some("c"), "f.csv: line 1: found \"c\" for --metric, allowed: a, b"),
        (b"timestamp,a,a\n", None, "f.csv: line 1, column 3: found \"a\" a second time, allowed: each name once"),
        (
            b"timestamp,a,Timestamp\n",
            Some("a"),
            "f.csv: line 1, column 3: found \"Timestamp\" a second time, allowed: each name once",
        ),
        (b"timestamp,\xff\n", None, "f.csv: line 1, column 2: found \"\u{fffd}\", allowed: UTF-8"),
        (b"\xff\xfet\0i\0", None, "f.csv: line 1: found UTF-16, allowed: UTF-8"),
        (
            b"timestamp,a\r\n2026-03-01 00:00:00,1\r\nyesterday,2\r\n",
            None,
            "f.csv: line 3, column timestamp: found \"yesterday\", allowed: a time that exists, as RFC 3339 \
             (2026-03-01T12:00:00Z) or YYYY-MM-DD hh:mm:ss in UTC",
        ),
        (
            b"timestamp,a\n2026-02-30 00:00:00,1\n",
            None,
            "f.csv: line 2, column timestamp: found \"2026-02-30 00:00:00\", allowed: a time that exists, as RFC 3339 \
             (2026-03-01T12:00:00Z) or YYYY-MM-DD hh:mm:ss in UTC",
        ),
        (
            b"timestamp,a\n\n2026-03-01 00:00:00,1\n\n2026-03-01 00:00:10,one\x1b[2J\n",
            None,
            "f.csv: line 5, column a: found \"one\", allowed: a number, or empty, NaN, NA or null for none",
        ),
        (
            b"timestamp,a,b\n2026-03-01 00:00:00,1,x\n",
            None,
            "f.csv: line 2, column b: found \"x\", allowed: a number, or empty, NaN, NA or null for none; --metric chooses \
             one column",
        ),
        (b"timestamp,a\n2026-03-01 00:00:00\n", None, "f.csv: line 2: found 1 field, the header has 2"),
        (b"timestamp,a\n2026-03-01 00:00:00,1,2\n", None, "f.csv: line 2: found 3 fields, the header has 2"),
        (
            b"timestamp,a\n2026-03-01 00:00:00,\"1\n",
            None,
            "f.csv: line 2: found a quote that is never closed, allowed: quotes in pairs",
        ),
    ];
    for (text, metric, message) in table {
        assert_eq!(said(text, metric), message, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let opened = |path: &Path| read_series(path, None, nothing).unwrap_err().to_string();
    let missing = opened(&directory.path().join("none.csv"));
    assert!(missing.contains("none.csv: cannot be read: No such file"), "{missing}");
    let folder = opened(directory.path());
    assert!(folder.ends_with("found a directory, allowed: a CSV file"), "{folder}");
}

#[test]
fn marks_quotes_spaces_and_mixed_line_ends_are_read() {
    let text = "\u{feff}\"Timestamp\" , \"a\",text\r\n\"2026-03-01 00:00:00\", 1 ,x\r2026-03-01T00:00:10Z,\"2.5\",\"y, z\"\n\n\n";
    let table = read(text.as_bytes(), Some("a")).unwrap();
    assert_eq!(table.at, [1_772_323_200_000, 1_772_323_210_000]);
    assert_eq!(table.columns[0].values, [1.0, 2.5]);
    assert_eq!((table.format.separator, table.format.zone), (' ', Zone::None));
}

#[test]
fn what_stands_for_no_value_is_missing_and_extreme_values_are_kept() {
    let cells = ["", "NaN", "nan", "inf", "-Infinity", "NULL", "NA", "n/a", "1e999"];
    let values = ["-7", "1e308", "4.9e-324", "-1e-310", "+3", "1_0"];
    for cell in cells {
        let table = read(format!("timestamp,a\n2026-03-01 00:00:00,{cell}\n").as_bytes(), None).unwrap();
        assert!(table.columns[0].values[0].is_nan(), "{cell}");
    }
    for (cell, value) in values.iter().zip([Some(-7.0), Some(1e308), Some(4.9e-324), Some(-1e-310), Some(3.0), None]) {
        let found = read(format!("timestamp,a\n2026-03-01 00:00:00,{cell}\n").as_bytes(), None);
        assert_eq!(found.ok().map(|table| table.columns[0].values[0]), value, "{cell}");
    }
}

#[test]
fn time_that_stands_still_or_goes_back_is_passed_over_and_counted() {
    let text =
        b"timestamp,a\n2026-03-01 00:00:10,1\n2026-03-01 00:00:10,2\n2026-03-01 00:00:00,3\n2026-03-01 00:00:20,4\n";
    let series = read(text, None).unwrap().series(0).unwrap();
    assert_eq!(series.samples, [(1_772_323_210_000, 1.0), (1_772_323_220_000, 4.0)]);
    assert_eq!(series.passed_over, 2);
}

#[test]
fn a_series_needs_one_column_or_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.csv");
    std::fs::write(&path, "timestamp,a,throughput\n2026-03-01 00:00:00,1,2\n").unwrap();
    let (series, name) = read_series(&path, Some("throughput"), nothing).unwrap();
    assert_eq!(name, path.display().to_string());
    assert_eq!((series.name.as_str(), series.unit.as_str()), ("throughput", "/s"));
    let error = read_series(&path, None, nothing).unwrap_err().to_string();
    assert!(error.ends_with("found several columns, allowed for --metric: a, throughput"), "{error}");
}

#[test]
fn a_dash_is_standard_input() {
    let input = || -> Box<dyn Read> { Box::new(&b"timestamp,a\n2026-03-01 00:00:00,7\n"[..]) };
    let (series, name) = read_series(Path::new("-"), None, input).unwrap();
    assert_eq!((series.samples.as_slice(), name.as_str()), (&[(1_772_323_200_000, 7.0)][..], "standard input"));
}

#[test]
fn a_header_of_very_many_columns_is_read_at_once() {
    let names: String = (0..100_000).map(|column| format!(",c{column}")).collect();
    let text = format!("timestamp{names}\n");
    let started = std::time::Instant::now();
    let rows = Rows::new(text.as_bytes(), "f.csv", None).unwrap();
    assert_eq!(rows.columns().len(), 100_000);
    // Comparing each name with all before it takes the better part of a minute.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn a_row_gives_back_the_file_s_own_text() {
    let text = b"x,timestamp,a\nq,2026-03-01T00:00:00.000+00:00, 1.50e2 \n";
    let mut rows = Rows::new(&text[..], "f.csv", Some("a")).unwrap();
    let row = rows.next_row().unwrap().unwrap();
    assert_eq!((row.time, row.text(0), row.values), ("2026-03-01T00:00:00.000+00:00", "1.50e2", &[150.0][..]));
    assert_eq!(row.text(1), "");
}

/// So many rows, made while they are read.
struct Endless {
    left: u64,
    rest: Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() && self.left > 0 {
            self.left -= 1;
            let at = TimestampFormat::default().print(self.left as i64 * -1000);
            self.rest = format!("{at},{}\n", self.left).into_bytes();
        }
        let length = buffer.len().min(self.rest.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}

#[test]
fn rows_are_read_in_memory_that_does_not_grow() {
    let many = 100_000;
    let mut rows = Rows::new(b"timestamp,a\n".chain(Endless { left: many, rest: Vec::new() }), "f.csv", None).unwrap();
    let mut count = 0;
    let mut places = std::collections::HashSet::new();
    while let Some(row) = rows.next_row().unwrap() {
        count += 1;
        places.insert(row.values.as_ptr());
    }
    assert_eq!((count, places.len()), (many, 1));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_in_words(bytes in proptest::collection::vec(any::<u8>(), 0..400), one in any::<bool>()) {
        if let Err(error) = read(&bytes, one.then_some("a")) {
            prop_assert!(error.to_string().starts_with("f.csv: "));
        }
    }

    #[test]
    fn nearly_right_text_is_read_or_refused_in_words(text in "(timestamp,a(,b)?\r?\n)?((2026-03-0[0-9][ T]00:00:00|[0-9:-]{0,9}),([0-9eE.+-]{0,9}|nan|\"1\"|\u{1b})(\r|\n|\r\n)){0,9}") {
        if let Err(error) = read(text.as_bytes(), None) {
            prop_assert!(error.to_string().starts_with("f.csv: "));
            let hostile = error.to_string().contains('\u{1b}');
            prop_assert!(!hostile);
        }
    }

    #[test]
    fn what_is_printed_is_read_back(values in proptest::collection::vec(any::<f64>(), 0..40), start in 0_i64..2_000_000_000_000) {
        let format = TimestampFormat { separator: ' ', fraction: 3, zone: Zone::None };
        let instants: Vec<i64> = (0..values.len() as i64).map(|index| start + 10_000 * index).collect();
        let mut text = "timestamp,a\n".to_owned();
        for (at, value) in instants.iter().zip(&values) {
            text.push_str(&format!("{},{value:?}\n", format.print(*at)));
        }
        let table = read(text.as_bytes(), None).unwrap();
        prop_assert_eq!(&table.at, &instants);
        for (found, value) in table.columns[0].values.iter().zip(&values) {
            let same = if value.is_finite() { found.to_bits() == value.to_bits() } else { found.is_nan() };
            prop_assert!(same);
        }
    }
}

async fn history(folder: &std::path::Path) -> Store {
    let store = Store::open(folder.join(crate::history::FILE)).await.unwrap();
    for (namespace, baseline, pod) in
        [("shop", "orders", "a"), ("shop", "orders", "b"), ("other", "orders", "a"), ("shop", "stock", "a")]
    {
        let key = TargetKey { namespace: namespace.into(), baseline: baseline.into(), pod: pod.into() };
        let series = store.target(&key, &["tps".to_owned(), "throughput".to_owned()]).await.unwrap();
        for round in 0..3_u8 {
            let values = [f32::from(round), if round == 1 { f32::NAN } else { 0.5 }];
            store.append(&series, 1_772_323_200_000 + 10_000 * i64::from(round), &values).await.unwrap();
        }
    }
    store
}

fn choice(
    data_dir: PathBuf,
    namespace: Option<&str>,
    baseline: &str,
    pod: Option<&str>,
    metric: Option<&str>,
) -> HistoryChoice {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    HistoryChoice {
        data_dir,
        namespace: owned(namespace),
        baseline: baseline.into(),
        pod: owned(pod),
        metric: owned(metric),
    }
}

#[tokio::test]
async fn the_history_is_read_beside_a_running_operator_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_owned();
    let store = history(&folder).await;
    let asked = choice(folder.clone(), Some("shop"), "orders", Some("a"), None);
    let table = read_history(&asked).await.unwrap();
    assert_eq!(
        table.columns.iter().map(|column| (column.name.as_str(), column.unit.as_str())).collect::<Vec<_>>(),
        [("tps", ""), ("throughput", "/s")]
    );
    assert_eq!(table.columns[0].values, [0.0, 1.0, 2.0]);
    assert!(table.columns[1].values[1].is_nan());
    // The operator writes on, and the next reading sees it.
    let key = TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "a".into() };
    let series = store.target(&key, &["tps".to_owned(), "throughput".to_owned()]).await.unwrap();
    store.append(&series, 1_772_323_300_000, &[9.0, 1.0]).await.unwrap();
    assert_eq!(read_history(&asked).await.unwrap().at.len(), 4);
    store.close().await;
    let before = std::fs::read(folder.join(crate::history::FILE)).unwrap();
    assert_eq!(read_history(&asked).await.unwrap().at.len(), 4);
    assert_eq!(std::fs::read(folder.join(crate::history::FILE)).unwrap(), before);
}

#[tokio::test]
async fn what_a_history_does_not_have_is_named_with_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_owned();
    history(&folder).await.close().await;
    for (asked, message) in [
        (
            choice(folder.clone(), None, "orders", Some("a"), None),
            "--baseline: found orders, allowed: other/orders, shop/orders",
        ),
        (
            choice(folder.clone(), Some("shop"), "order", None, None),
            "--baseline: found shop/order, allowed: other/orders, shop/orders, shop/stock",
        ),
        (choice(folder.clone(), Some("shop"), "orders", Some("c"), None), "--pod: found c, allowed: a, b"),
        (choice(folder.clone(), Some("shop"), "orders", None, None), "--pod: found none, allowed: a, b"),
        (choice(folder.clone(), None, "stock", None, Some("qps")), "--metric: found qps, allowed: tps, throughput"),
    ] {
        assert_eq!(read_history(&asked).await.unwrap_err().to_string(), message);
    }
    let nowhere = read_history(&choice(folder.join("none"), None, "stock", None, None)).await.unwrap_err().to_string();
    assert!(nowhere.starts_with("--data-dir: found no history.sqlite in "), "{nowhere}");
}

#[tokio::test]
async fn a_damaged_or_foreign_history_is_said_and_left_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(crate::history::FILE);
    for (content, words) in [(vec![7_u8; 8192], "is damaged"), (Vec::new(), "is empty: it holds no history")] {
        std::fs::write(&path, &content).unwrap();
        let asked = choice(directory.path().to_owned(), None, "stock", None, None);
        let error = read_history(&asked).await.unwrap_err().to_string();
        assert!(error.starts_with("--data-dir: ") && error.contains(words), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was set aside or begun");
    }
}
