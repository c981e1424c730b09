//! The detector that looks at the databases of a Baseline together.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use dbmedic::api::IncidentState;
use dbmedic_test_support::eventually;

use super::{Scene, evidence, turn};
use crate::world::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn the_database_that_departs_from_its_peers_is_named_and_the_others_are_not() -> Result<()> {
    let scene = Scene::open(&["custom_lag"]).await?;
    let mut others = Vec::new();
    for last in 2..=4 {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        others.push(scene.shop.add_database(&format!("orders-db-{}", last - 1), address).await?);
    }
    turn(&scene.shop.postgres, "custom_lag", 10.0).await?;
    for (place, postgres) in others.iter().enumerate() {
        turn(postgres, "custom_lag", 10.0 + place as f64 / 10.0).await?;
    }
    scene.rule("unlike", "{metric: custom_lag, peers: {above: 3}}").await?;
    let operator = scene.shop.start_operator(scene.cluster).await?;
    operator.ready().await?;
    let normal = eventually(PATIENCE, "all four are judged", async || {
        let status = scene.rules.get("unlike").await?.status.unwrap_or_default();
        let normal = status.targets.iter().filter(|target| target.state == IncidentState::Normal).count();
        Ok((normal == 4).then_some(()))
    });
    normal.await.map_err(|error| error.context(scene.log()))?;

    // Without profiles, how far a database lies from the others by itself takes 30 rounds to know.
    for _ in 0..2 {
        operator.rounds_pass(4 * 20).await?;
    }
    turn(&others[1], "custom_lag", 100.0).await?;
    let anomaly = scene.told("unlike").await?;
    ensure!(anomaly.spec.pod == "orders-db-2" && evidence(&anomaly, "peers")? == "3", "{anomaly:?}");
    evidence(&anomaly, "peers' median")?;
    operator.rounds_pass(12).await?;
    ensure!(scene.alarmed().await? == ["unlike"], "{:?}", scene.alarmed().await?);
    Ok(())
}
