//! A history that cannot be written or read: said plainly, and detection goes on.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use dbmedic::api::IncidentState;
use dbmedic_test_support::skipped;
use kube::api::DeleteParams;

use super::{World, limit_rule, list, stop};

/// A small file system over a directory, for as long as this lives.
struct Small(PathBuf);

impl Small {
    /// `None` where this user may not mount.
    fn over(path: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(path)?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(path).output();
        Ok(mounted.is_ok_and(|output| output.status.success()).then(|| Self(path.to_owned())))
    }

    /// Takes all the room there is.
    fn fill(&self) -> Result<()> {
        let mut filler = fs::File::create(self.filler())?;
        let block = [0_u8; 4096];
        while filler.write_all(&block).is_ok() {}
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_detection_goes_on_and_room_heals_it() -> Result<()> {
    let world = World::small(&[]).await?;
    let Some(disk) = Small::over(&world.shop.data_directory())? else {
        skipped("this user may not mount a small file system");
        return Ok(());
    };
    disk.fill()?;
    let operator = world.operator().await?;
    world.says(&world.baselines, "orders", "HistoryStored", "False", &["HistoryUnwritable"]).await?;
    world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;
    world.apply(&limit_rule("busy", "connection_count", "above", "0")).await?;
    world.one_anomaly().await?;
    world.rule_is("busy", IncidentState::Open).await?;

    disk.free()?;
    world.says(&world.baselines, "orders", "HistoryStored", "True", &[]).await?;
    disk.fill()?;
    world.says(&world.baselines, "orders", "HistoryStored", "False", &["HistoryUnwritable"]).await?;
    disk.free()?;
    world.says(&world.baselines, "orders", "HistoryStored", "True", &[]).await?;
    stop(operator).await?;
    ensure!(world.exported().await?.len() > 1, "nothing was kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_history_file_is_set_aside_and_detection_goes_on() -> Result<()> {
    let world = World::small(&[]).await?;
    let folder = world.shop.data_directory();
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(dbmedic::history::FILE), b"this was a history once ".repeat(1000))?;
    let operator = world.operator().await?;
    world.says(&world.baselines, "orders", "HistoryStored", "False", &["HistoryCorrupt", "corrupt-"]).await?;
    world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;
    world.apply(&limit_rule("busy", "connection_count", "above", "0")).await?;
    world.one_anomaly().await?;
    let names: Vec<String> =
        fs::read_dir(&folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    ensure!(names.iter().any(|name| name.contains("corrupt-")), "the damaged file is gone: {names:?}");
    stop(operator).await?;

    // The open incident goes on after the restart, and the new file is whole.
    let operator = world.operator().await?;
    world.says(&world.baselines, "orders", "HistoryStored", "True", &[]).await?;
    world.rule_is("busy", IncidentState::Open).await?;
    ensure!(list(&world.anomalies).await?.len() == 1);
    world.rules.delete("busy", &DeleteParams::default()).await.context("deleting the rule")?;
    stop(operator).await
}
