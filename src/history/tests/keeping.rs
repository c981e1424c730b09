//! What is appended is what is read.

use super::*;

#[tokio::test]
async fn rounds_are_read_back_across_seals_and_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let series = store.target(&key("a"), &names(&["tps", "lag"])).await.unwrap();
    for index in 0..1500_i64 {
        let lag = if index % 6 == 0 { index as f32 } else { f32::NAN };
        store.append(&series, START + index * STEP, &[(index % 100) as f32, lag]).await.unwrap();
    }
    assert_eq!((chunks(&store).await, open_rounds(&store).await), (2, 60));
    let expected: Vec<(i64, f32)> = (0..1500).map(|index| (START + index * STEP, (index % 100) as f32)).collect();
    for round in 0..2 {
        let store = if round == 0 { store.clone() } else { Store::open(file(&directory)).await.unwrap() };
        assert_eq!(pairs(&store.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap()), expected);
        let lag = store.read(&key("a"), "lag", START, START + 1500 * STEP).await.unwrap();
        assert_eq!(lag.len(), 250);
        assert!(lag.iter().all(|sample| sample.value == ((sample.at - START) / STEP) as f32));
        let part = store.read(&key("a"), "tps", START + 700 * STEP, START + 1450 * STEP).await.unwrap();
        assert_eq!(pairs(&part), expected[700..1450]);
        store.close().await;
    }
}

#[tokio::test]
async fn an_unknown_target_or_metric_has_no_samples() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let series = store.target(&key("a"), &names(&["tps"])).await.unwrap();
    store.append(&series, START, &[1.0]).await.unwrap();
    assert_eq!(store.read(&key("b"), "tps", i64::MIN, i64::MAX).await.unwrap(), []);
    assert_eq!(store.read(&key("a"), "lag", i64::MIN, i64::MAX).await.unwrap(), []);
    assert_eq!(store.targets().await.unwrap(), [key("a")]);
    assert_eq!(store.metrics(&key("a")).await.unwrap(), ["tps"]);
    assert_eq!(store.extent(&key("a")).await.unwrap(), Some((START, START)));
    assert_eq!(store.extent(&key("b")).await.unwrap(), None);
}

#[tokio::test]
async fn of_two_values_at_one_instant_the_later_stored_is_kept_and_absence_replaces_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let series = store.target(&key("a"), &names(&["one", "two"])).await.unwrap();
    let expect = async |one: f32, two: f32| {
        assert_eq!(pairs(&store.read(&key("a"), "one", START, START + 1).await.unwrap()), [(START, one)]);
        assert_eq!(pairs(&store.read(&key("a"), "two", START, START + 1).await.unwrap()), [(START, two)]);
    };
    store.append(&series, START, &[1.0, 10.0]).await.unwrap();
    store.append(&series, START, &[2.0, f32::NAN]).await.unwrap();
    expect(2.0, 10.0).await;
    store.seal(&series).await.unwrap();
    expect(2.0, 10.0).await;
    // The same instant again, now in the open chunk over the sealed one.
    store.append(&series, START, &[f32::NAN, 30.0]).await.unwrap();
    expect(2.0, 30.0).await;
    store.seal(&series).await.unwrap();
    expect(2.0, 30.0).await;
    assert_eq!(chunks(&store).await, 1);
}

#[tokio::test]
async fn late_rounds_are_put_in_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let series = store.target(&key("a"), &names(&["tps"])).await.unwrap();
    for index in [5, 6, 7, 20, 21] {
        store.append(&series, START + index * STEP, &[index as f32]).await.unwrap();
    }
    store.seal(&series).await.unwrap();
    // Before, within, and after the sealed chunk.
    for index in [30, 10, 1, 6] {
        store.append(&series, START + index * STEP, &[100.0 + index as f32]).await.unwrap();
    }
    let expected: Vec<(i64, f32)> =
        [(1, 101.), (5, 5.), (6, 106.), (7, 7.), (10, 110.), (20, 20.), (21, 21.), (30, 130.)]
            .iter()
            .map(|(index, value)| (START + index * STEP, *value))
            .collect();
    assert_eq!(pairs(&store.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap()), expected);
    store.seal(&series).await.unwrap();
    assert_eq!(pairs(&store.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap()), expected);
    assert_eq!((chunks(&store).await, open_rounds(&store).await), (3, 0));
}

#[tokio::test]
async fn a_clock_that_jumps_to_the_end_of_time_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let series = store.target(&key("a"), &names(&["tps"])).await.unwrap();
    let far = [253_402_300_799_999, -62_135_596_800_000];
    for at in [START, far[0], far[1], START + STEP] {
        store.append(&series, at, &[1.0]).await.unwrap();
    }
    for at in [i64::MIN, i64::MAX, far[0] + 1] {
        assert!(matches!(store.append(&series, at, &[1.0]).await, Err(HistoryError::Instant(_))));
    }
    store.seal(&series).await.unwrap();
    assert_eq!(store.read(&key("a"), "tps", START, START + DAY).await.unwrap().len(), 2);
    store.append(&series, START + 2 * STEP, &[1.0]).await.unwrap();
    assert_eq!(store.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_chunk_is_sealed_by_two_hours_or_by_720_rounds_but_not_with_a_handful_of_rounds() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let mut sealed_at = Vec::new();
    for (pod, step) in [("every-second", 1_000), ("half-minute", 30_000), ("hourly", HOUR)] {
        let series = store.target(&key(pod), &names(&["tps"])).await.unwrap();
        let before = chunks(&store).await;
        let mut count = 0;
        while chunks(&store).await == before {
            store.append(&series, START + count * step, &[1.0]).await.unwrap();
            count += 1;
        }
        sealed_at.push(count);
    }
    assert_eq!(sealed_at, [720, 241, 23]);
}

#[tokio::test]
async fn a_target_whose_metrics_change_keeps_the_series_of_both() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let before = store.target(&key("a"), &names(&["one", "two"])).await.unwrap();
    store.append(&before, START, &[1.0, 2.0]).await.unwrap();
    let after = store.target(&key("a"), &names(&["two", "three"])).await.unwrap();
    store.append(&after, START + STEP, &[2.5, 3.0]).await.unwrap();
    for _ in 0..2 {
        let all = store.read_many(&key("a"), &["one", "two", "three"], START, START + DAY).await.unwrap();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(all[1][1].value, 2.5);
        store.seal(&after).await.unwrap();
    }
}

#[tokio::test]
async fn a_round_of_the_wrong_width_is_refused_and_an_empty_one_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let series = store.target(&key("a"), &names(&["one", "two"])).await.unwrap();
    let error = store.append(&series, START, &[1.0]).await.unwrap_err();
    assert_eq!(error.to_string(), "a round has 1 values, its target has 2 metrics");
    store.append(&series, START, &[f32::NAN, f32::INFINITY]).await.unwrap();
    assert_eq!(open_rounds(&store).await, 0);
    store.seal(&series).await.unwrap();
    assert_eq!(chunks(&store).await, 0);
}

#[tokio::test]
async fn names_with_quotes_and_sql_in_them_are_only_names() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let hostile = "x'); DROP TABLE round; --";
    let series = store.target(&key(hostile), &names(&[hostile])).await.unwrap();
    store.append(&series, START, &[1.0]).await.unwrap();
    store.seal(&series).await.unwrap();
    assert_eq!(store.read(&key(hostile), hostile, START, START + 1).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_by_another_process_and_readers_do_not_stop_appends() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let other = Store::open(file(&directory)).await.unwrap();
    let metrics = names(&["tps", "lag"]);
    let rounds = (0..40_000_i64).map(|index| (START - DAY * 30 + index * STEP, vec![(index % 77) as f32, 0.5]));
    let import = tokio::spawn(async move { other.import(&key("a"), &names(&["tps", "lag"]), rounds).await });
    let series = store.target(&key("a"), &metrics).await.unwrap();
    let reader = store.clone();
    let read = tokio::spawn(async move {
        let mut before = 0;
        loop {
            let found = reader.read(&key("a"), "tps", START, i64::MAX).await.unwrap().len();
            assert!(found >= before, "a seal hid {before} - {found} samples");
            before = found;
            if found == 2000 {
                break;
            }
        }
    });
    for index in 0..2000_i64 {
        store.append(&series, START + index * STEP, &[1.0, 2.0]).await.unwrap();
    }
    assert_eq!(import.await.unwrap().unwrap().samples, 80_000);
    read.await.unwrap();
    assert_eq!(store.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap().len(), 42_000);
    assert_eq!(store.health(), Health::Working);
}
