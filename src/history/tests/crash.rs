//! kill -9 at any moment loses at most the round in flight.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::*;

const FILE: &str = "DBMEDIC_TEST_HISTORY_FILE";
const NAME: &str = "history::tests::crash::every_acknowledged_round_outlives_kill_9";

#[test]
fn every_acknowledged_round_outlives_kill_9() {
    if let Some(path) = std::env::var_os(FILE) {
        append_until_killed(&PathBuf::from(path));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let mut acknowledged: i64 = 0;
    let mut chunks_seen = 0;
    for kill in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Some(index) = line.ok().and_then(|line| line.strip_prefix("stored ")?.parse::<i64>().ok()) else {
                    continue;
                };
                if sender.send(index).is_err() {
                    break;
                }
            }
        });
        // Some hundreds of rounds, then a moment that differs each time: within an append, a seal or a checkpoint.
        let until = acknowledged + 300 + (kill * 97 % 400) as i64;
        while acknowledged < until {
            acknowledged = lines.recv_timeout(Duration::from_mins(1)).expect("the child stores rounds") + 1;
        }
        spin(Duration::from_micros(kill * 613 % 5000));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = lines.iter().last().map_or(acknowledged, |index| index + 1);
        reader.join().unwrap();
        chunks_seen = check(&path, acknowledged);
    }
    assert!(chunks_seen >= 5, "the kills covered seals: {chunks_seen}");
}

/// A pause too short for the operating system's timer.
fn spin(pause: Duration) {
    let begin = std::time::Instant::now();
    while begin.elapsed() < pause {
        std::hint::spin_loop();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn append_until_killed(path: &std::path::Path) {
    let store = Store::open(path).await.unwrap();
    let series = store.target(&key("a"), &names(&["index", "half"])).await.unwrap();
    let mut index = store.extent(&key("a")).await.unwrap().map_or(0, |(_, last)| (last - START) / STEP + 1);
    loop {
        store.append(&series, START + index * STEP, &[index as f32, index as f32 / 2.0]).await.unwrap();
        println!("stored {index}");
        index += 1;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn check(path: &std::path::Path, acknowledged: i64) -> i64 {
    let store = Store::open(path).await.unwrap();
    assert_eq!(store.health(), Health::Working);
    let found = store.read(&key("a"), "index", i64::MIN, i64::MAX).await.unwrap();
    let count = found.len() as i64;
    // The round in flight may have been stored without having been acknowledged.
    assert!(count == acknowledged || count == acknowledged + 1, "{count} rounds, {acknowledged} acknowledged");
    for (index, sample) in found.iter().enumerate() {
        assert_eq!((sample.at, sample.value), (START + index as i64 * STEP, index as f32));
    }
    let chunks = chunks(&store).await;
    store.close().await;
    chunks
}
