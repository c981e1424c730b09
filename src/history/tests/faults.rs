//! Damaged files, full disks, and files that are not ours.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::*;

/// A value that no codec foresees.
fn scattered(index: i64) -> f32 {
    ((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 48)
        as f32
}

/// A closed file with two sealed days and an open chunk of a hundred rounds.
async fn filled(path: &Path) {
    let store = Store::open(path).await.unwrap();
    let metrics = names(&["tps", "lag"]);
    let rounds = (0..17_280_i64).map(|index| (START + index * STEP, vec![scattered(index), 0.5]));
    store.import(&key("a"), &metrics, rounds).await.unwrap();
    let series = store.target(&key("a"), &metrics).await.unwrap();
    for index in 17_280..17_380_i64 {
        store.append(&series, START + index * STEP, &[1.0, 2.0]).await.unwrap();
    }
    store.close().await;
}

fn overwrite(path: &Path, from: u64, length: usize) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&vec![0xa5; length]).unwrap();
}

fn aside(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.corrupt-{number}", path.display()))
}

/// Rounds are stored and read, and the health names the file that was set aside.
async fn goes_on(store: &Store, path: &Path, number: u32) {
    let Health::Corrupt(message) = store.health() else { panic!("{:?}", store.health()) };
    assert!(message.contains(&format!("set aside as {}", aside(path, number).display())), "{message}");
    assert!(aside(path, number).exists());
    let series = store.target(&key("a"), &names(&["tps", "lag"])).await.unwrap();
    store.append(&series, START, &[1.0, 2.0]).await.unwrap();
    assert_eq!(pairs(&store.read(&key("a"), "lag", i64::MIN, i64::MAX).await.unwrap()), [(START, 2.0)]);
    assert!(matches!(store.health(), Health::Corrupt(_)));
}

#[tokio::test]
async fn a_file_with_a_garbage_header_is_set_aside_and_a_new_one_begun() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    for number in 1..=3 {
        std::fs::write(&path, vec![0xa5; 20_000]).unwrap();
        let store = Store::open(&path).await.unwrap();
        goes_on(&store, &path, number).await;
        store.close().await;
    }
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.health(), Health::Working);
}

#[tokio::test]
async fn a_truncated_file_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    filled(&path).await;
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    let store = Store::open(&path).await.unwrap();
    // SQLite may notice with the first read only.
    drop(store.read(&key("a"), "tps", i64::MIN, i64::MAX).await);
    goes_on(&store, &path, 1).await;
}

#[tokio::test]
async fn damage_anywhere_in_the_middle_never_gives_wrong_values() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    filled(&path).await;
    let whole = std::fs::read(&path).unwrap();
    let reference = Store::open(&path).await.unwrap();
    let expected = reference.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap();
    reference.close().await;
    let mut noticed = 0;
    for page in 1..whole.len() as u64 / 4096 {
        std::fs::write(&path, &whole).unwrap();
        overwrite(&path, page * 4096 + page * 577 % 4000, 64);
        let store = Store::open(&path).await.unwrap();
        match store.read(&key("a"), "tps", i64::MIN, i64::MAX).await {
            Ok(found) => assert!(found == expected || found.is_empty(), "page {page}"),
            Err(HistoryError::Corrupt(_)) => {
                noticed += 1;
                goes_on(&store, &path, 1).await;
                std::fs::remove_file(aside(&path, 1)).unwrap();
            }
            Err(error) => panic!("page {page}: {error}"),
        }
        store.close().await;
    }
    assert!(noticed >= 4, "{noticed}");
}

#[tokio::test]
async fn damage_to_the_file_in_use_is_noticed_by_a_read_and_the_next_round_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    filled(&path).await;
    let store = Store::open(&path).await.unwrap();
    let series = store.target(&key("a"), &names(&["tps", "lag"])).await.unwrap();
    let length = std::fs::metadata(&path).unwrap().len() as usize;
    overwrite(&path, 4096, length - 4096);
    let error = store.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap_err();
    assert!(matches!(error, HistoryError::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("set aside as"), "{error}");
    // The handle of before goes on: it is resolved anew.
    store.append(&series, START + DAY, &[3.0, 4.0]).await.unwrap();
    assert_eq!(pairs(&store.read(&key("a"), "tps", i64::MIN, i64::MAX).await.unwrap()), [(START + DAY, 3.0)]);
}

#[tokio::test]
async fn damage_that_an_append_finds_costs_not_even_that_round() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    filled(&path).await;
    let length = std::fs::metadata(&path).unwrap().len() as usize;
    overwrite(&path, 2 * 4096, length - 2 * 4096);
    let store = Store::open(&path).await.unwrap();
    let series = store.target(&key("a"), &names(&["tps", "lag"])).await.unwrap();
    store.append(&series, START, &[1.0, 2.0]).await.unwrap();
    goes_on(&store, &path, 1).await;
}

#[tokio::test]
async fn a_file_of_a_later_format_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let store = Store::open(&path).await.unwrap();
    let database = store.database().await.unwrap();
    sqlx::query("PRAGMA user_version = 7").execute(&database.writer).await.unwrap();
    drop(database);
    store.close().await;
    let error = Store::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("is of format 7, this dbmedic knows up to 1"), "{error}");
    assert!(!aside(&path, 1).exists());
}

#[tokio::test]
async fn a_database_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let other = sqlx::SqlitePool::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
    sqlx::query("CREATE TABLE precious (id INTEGER)").execute(&other).await.unwrap();
    other.close().await;
    let error = Store::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("is not a dbmedic history"), "{error}");
    assert!(!aside(&path, 1).exists());
}

#[tokio::test]
async fn a_directory_that_is_missing_is_said_and_used_once_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("later").join("history.db");
    let store = Store::open(&path).await.unwrap();
    let Health::Unwritable(message) = store.health() else { panic!("{:?}", store.health()) };
    assert!(message.contains("later/history.db: "), "{message}");
    let series = store.target(&key("a"), &names(&["tps"])).await.unwrap();
    assert!(matches!(store.append(&series, START, &[1.0]).await, Err(HistoryError::Unwritable(_))));
    std::fs::create_dir(directory.path().join("later")).unwrap();
    store.append(&series, START, &[1.0]).await.unwrap();
    assert_eq!(store.health(), Health::Working);
}

#[tokio::test]
async fn a_full_disk_costs_the_rounds_of_that_time_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let store = Store::open(&path).await.unwrap();
    let series = store.target(&key("a"), &names(&["tps"])).await.unwrap();
    let limit = async |pages: i64| {
        let database = store.database().await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(sql).execute(&database.writer).await.unwrap();
    };
    // SQLite never goes below what the file has already.
    limit(1).await;
    let (stored, refused) = append_until_full(&store, &series, 0).await;
    assert!(matches!(store.read(&key("a"), "tps", START, i64::MAX).await, Ok(found) if found.len() == stored));
    limit(1_000_000).await;
    store.append(&series, refused, &[1.0]).await.unwrap();
    assert_eq!(store.health(), Health::Working);
    assert_eq!(store.read(&key("a"), "tps", START, i64::MAX).await.unwrap().len(), stored + 1);
}

/// Rounds stored until the first is refused, and that one's instant.
async fn append_until_full(store: &Store, series: &TargetSeries, from: i64) -> (usize, i64) {
    for index in from.. {
        let at = START + index * STEP;
        match store.append(series, at, &vec![index as f32; series.metrics().len()]).await {
            Ok(()) => assert!(index < 100_000, "the disk is never full"),
            Err(HistoryError::Unwritable(message)) => {
                assert!(message.contains("full"), "{message}");
                assert_eq!(store.health(), Health::Unwritable(message));
                return ((index - from) as usize, at);
            }
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!()
}

/// A small file system in memory, gone with the value; `None` where this user may not mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=768k", "tmpfs"])
            .arg(directory.path())
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[tokio::test]
async fn a_file_system_without_space_heals_once_there_is_some_and_so_does_a_start_on_it() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("left out: this user may not mount a small file system");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 400 << 10]).unwrap();
    let path = file(&disk.0);
    let store = Store::open(&path).await.unwrap();
    let metrics: Vec<String> = (0..20).map(|index| format!("metric_{index}")).collect();
    let series = store.target(&key("a"), &metrics).await.unwrap();
    let (stored, refused) = append_until_full(&store, &series, 0).await;
    assert!(stored > 20, "{stored}");
    drop(store);
    // The process starts again, still without space.
    let store = Store::open(&path).await.unwrap();
    let series = store.target(&key("a"), &metrics).await.unwrap();
    std::fs::write(disk.0.path().join("rest"), vec![1; 1 << 20]).unwrap_err();
    assert!(matches!(store.append(&series, refused, &[1.0; 20]).await, Err(HistoryError::Unwritable(_))));
    std::fs::remove_file(ballast).unwrap();
    store.append(&series, refused, &[1.0; 20]).await.unwrap();
    assert_eq!(store.health(), Health::Working);
    let found = store.read(&key("a"), "metric_7", START, i64::MAX).await.unwrap();
    assert_eq!(found.len(), stored + 1);
    store.close().await;
}
