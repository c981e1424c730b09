//! Retention, roll-ups, profiles and usual times.

use super::*;

#[tokio::test]
async fn roll_ups_say_what_an_hour_was_like_even_where_chunks_meet_within_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let series = store.target(&key("a"), &names(&["tps", "lag"])).await.unwrap();
    for index in 0..720_i64 {
        store.append(&series, START + index * STEP, &[(index % 360) as f32, f32::NAN]).await.unwrap();
        if index == 400 {
            store.seal(&series).await.unwrap();
        }
    }
    store.seal(&series).await.unwrap();
    let hour = |at| RollUp { at, count: 360, minimum: 0.0, maximum: 359.0, mean: 179.5 };
    let found = store.roll_ups(&key("a"), "tps", START, START + DAY).await.unwrap();
    assert_eq!(found, [hour(START), hour(START + HOUR)]);
    assert_eq!(store.roll_ups(&key("a"), "tps", START + 1, START + DAY).await.unwrap(), [hour(START + HOUR)]);
    assert_eq!(store.roll_ups(&key("a"), "lag", START, START + DAY).await.unwrap(), []);
}

#[tokio::test]
async fn retention_deletes_samples_after_the_window_and_roll_ups_after_400_days() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    let metrics = names(&["tps"]);
    let rounds = (0..20 * 144).map(|index| (START + index * 600_000, vec![1.0]));
    store.import(&key("a"), &metrics, rounds.clone()).await.unwrap();
    store.import(&key("b"), &metrics, rounds).await.unwrap();
    store.retain(&key("a"), START + 20 * DAY, 14).await.unwrap();
    let left = store.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap();
    assert_eq!(left.first().map(|sample| sample.at), Some(START + 6 * DAY));
    assert_eq!(store.roll_ups(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap().len(), 480);
    assert_eq!(store.read(&key("b"), "tps", i64::MIN, i64::MAX).await.unwrap().len(), 20 * 144);
    let series = store.target(&key("a"), &metrics).await.unwrap();
    store.append(&series, START + 20 * DAY, &[1.0]).await.unwrap();
    store.retain(&key("a"), START + 415 * DAY, 14).await.unwrap();
    assert_eq!(store.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap(), []);
    assert_eq!(store.roll_ups(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap().len(), 120);
}

#[tokio::test]
async fn a_profile_replaces_the_one_before_and_outlives_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    assert_eq!(store.load_profile(&key("a"), "tps").await.unwrap(), None);
    store.save_profile(&key("a"), "tps", 5, b"first").await.unwrap();
    store.save_profile(&key("a"), "tps", 6, b"second").await.unwrap();
    store.close().await;
    let store = Store::open(file(&directory)).await.unwrap();
    assert_eq!(store.load_profile(&key("a"), "tps").await.unwrap(), Some((6, b"second".to_vec())));
    assert_eq!(store.load_profile(&key("a"), "lag").await.unwrap(), None);
}

#[tokio::test]
async fn usual_times_are_kept_per_target_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(file(&directory)).await.unwrap();
    assert_eq!(store.load_usual_times(&key("a")).await.unwrap(), None);
    store.save_usual_times(&key("a"), b"one").await.unwrap();
    store.save_usual_times(&key("b"), b"two").await.unwrap();
    store.save_usual_times(&key("a"), b"three").await.unwrap();
    store.close().await;
    let store = Store::open(file(&directory)).await.unwrap();
    assert_eq!(store.load_usual_times(&key("a")).await.unwrap(), Some(b"three".to_vec()));
    assert_eq!(store.load_usual_times(&key("b")).await.unwrap(), Some(b"two".to_vec()));
}
