//! CSV in and out.

use std::io::Cursor;

use super::transfer::{TransferError, export_csv, import_csv};
use super::*;

async fn import(store: &Store, text: &str) -> Result<Imported, TransferError> {
    let allowed = names(&["response_time", "tps", "lag"]);
    import_csv(Cursor::new(text.to_owned().into_bytes()), "h.csv", store, &key("a"), &allowed).await
}

async fn message(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    import(&store, text).await.unwrap_err().to_string()
}

#[tokio::test]
async fn both_forms_of_timestamp_absent_cells_and_any_order_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let text = "\u{feff}timestamp,tps,response_time\r\n\
                2026-03-02 00:00:20,3,\n\
                2026-03-02T00:00:00Z,1,2.5\n\
                2026-03-02T01:00:10.500+01:00,NaN,7e-3\n\
                2026-03-02 00:00:20, 4 ,nan\n";
    let imported = import(&store, text).await.unwrap();
    let expected = Imported { rounds: 4, samples: 5, first: Some(START), last: Some(START + 20_000) };
    assert_eq!(imported, expected);
    let tps = store.read(&key("a"), "tps", START, START + DAY).await.unwrap();
    assert_eq!(pairs(&tps), [(START, 1.0), (START + 20_000, 4.0)], "the later row of an instant wins");
    let response = store.read(&key("a"), "response_time", START, START + DAY).await.unwrap();
    assert_eq!(pairs(&response), [(START, 2.5), (START + 10_500, 0.007)]);
}

#[tokio::test]
async fn what_is_exported_is_imported_to_the_same_samples() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let metrics = names(&["tps", "lag"]);
    let series = store.target(&key("a"), &metrics).await.unwrap();
    for index in 0..3000_i64 {
        let lag = if index % 6 == 0 { 1e-20 * index as f32 } else { f32::NAN };
        store.append(&series, START + index * 37_003, &[(index as f32).sin(), lag]).await.unwrap();
    }
    let mut text = Vec::new();
    let rows = export_csv(&mut text, "out.csv", &store, &key("a"), i64::MIN, i64::MAX).await.unwrap();
    assert_eq!(rows, 3000);
    assert!(text.starts_with(b"timestamp,tps,lag\n2026-03-02T00:00:00Z,0.0,0.0\n2026-03-02T00:00:37.003Z,0.8415,\n"));
    let copy = Store::open(directory.path().join("copy.db")).await.unwrap();
    import_csv(Cursor::new(text.clone()), "out.csv", &copy, &key("a"), &metrics).await.unwrap();
    // A second time over the first changes nothing and takes no more room.
    let size = copy.size().await.unwrap();
    import_csv(Cursor::new(text), "out.csv", &copy, &key("a"), &metrics).await.unwrap();
    assert_eq!(copy.size().await.unwrap().samples, size.samples);
    for metric in ["tps", "lag"] {
        let original = store.read(&key("a"), metric, i64::MIN, i64::MAX).await.unwrap();
        assert_eq!(copy.read(&key("a"), metric, i64::MIN, i64::MAX).await.unwrap(), original);
    }
}

#[tokio::test]
async fn an_error_names_file_line_column_what_was_found_and_what_is_allowed() {
    assert_eq!(message("").await, "h.csv: is empty");
    assert_eq!(message("time,tps\n").await, "h.csv: line 1, column 1: found \"time\", allowed: timestamp");
    assert_eq!(
        message("timestamp,tps,tpz\n").await,
        "h.csv: line 1, column 3: found \"tpz\", allowed: response_time, tps, lag"
    );
    assert_eq!(
        message("timestamp,tps,tps\n").await,
        "h.csv: line 1, column 3: found \"tps\" a second time, allowed: each metric once"
    );
    assert_eq!(
        message("timestamp\n").await,
        "h.csv: line 1, column 2: found no metric, allowed: response_time, tps, lag"
    );
    assert_eq!(
        message("timestamp,tps\n2026-03-02 00:00:00,1\n03/02/2026,1\n").await,
        "h.csv: line 3, column timestamp: found \"03/02/2026\", allowed: an RFC 3339 timestamp or YYYY-MM-DD hh:mm:ss (UTC)"
    );
    assert_eq!(
        message("timestamp,tps,lag\n2026-03-02 00:00:00,1,1\u{1b}[31m\n").await,
        "h.csv: line 2, column lag: found \"1\\u{1b}[31m\", allowed: a finite number, empty or NaN"
    );
    assert_eq!(
        message("timestamp,tps,lag\n2026-03-02 00:00:00,1\n").await,
        "h.csv: line 2, column 2: found 2 columns, the header has 3"
    );
}

#[tokio::test]
async fn centuries_without_a_round_are_skipped_by_an_export() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let text = "timestamp,tps\n0001-01-02T00:00:00Z,1.0\n2026-03-02T00:00:00Z,2.0\n9999-12-29T00:00:00Z,3.0\n";
    import(&store, text).await.unwrap();
    let (mut exported, key) = (Vec::new(), key("a"));
    let rows = export_csv(&mut exported, "out", &store, &key, i64::MIN, i64::MAX);
    let rows = tokio::time::timeout(std::time::Duration::from_secs(20), rows).await.expect("at once").unwrap();
    assert_eq!((rows, String::from_utf8(exported).unwrap()), (3, text.to_owned()));
}
