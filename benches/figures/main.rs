//! `make bench`: the figures that dbmedic is held to, each next to its goal and to what it is compared with, measured
//! in one run where there is something to compare with. Figures never fail the run.
//!
//! `DBMEDIC_FIGURES=engine` measures only what needs no cluster, no database and no program.
//!
//! It needs the release programs in `target/release` (or `DBMEDIC_PROGRAMS`) and what the tests on real parts need.

mod capacity;
mod commands;
mod database;
mod detectors;
mod idle;
mod latency;
mod learning;
mod machine;
mod scoring;
mod storage;
mod story;
mod streaming;
mod table;
/// Series to measure with: those of `make quality`.
#[path = "../quality/generate/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is enough here")]
mod generate;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use dbmedic_test_support::shop::{OPERATOR, Options, Shop};
use dbmedic_test_support::{ApiProxy, Cluster, workspace};
use table::Figure;

/// The programs that are measured.
pub struct Programs(PathBuf);

impl Programs {
    fn find() -> Self {
        Self(std::env::var_os("DBMEDIC_PROGRAMS").map_or_else(|| workspace().join("target/release"), PathBuf::from))
    }

    /// The operator's program.
    pub fn dbmedic(&self) -> PathBuf {
        self.0.join("dbmedic")
    }

    /// The program that people use.
    pub fn plugin(&self) -> PathBuf {
        self.0.join("kubectl-dbmedic")
    }

    fn sizes(&self) -> Result<Vec<Figure>> {
        let goals = [("dbmedic", 20.0, "< 20 MB"), ("kubectl-dbmedic", 10.0, "< 10 MB")];
        let size = |(name, most, goal): (&str, f64, &str)| {
            let path = self.0.join(name);
            let bytes = std::fs::metadata(&path).with_context(|| format!("{} is not built", path.display()))?.len();
            let size = bytes as f64 / 1e6;
            let compared = "postgres_exporter 10.9, VictoriaMetrics 12.3, Prometheus 49.9 MB";
            Ok(Figure::new(format!("size of {name}"), format!("{size:.1} MB"))
                .goal(goal, size < most)
                .against(compared))
        };
        goals.into_iter().map(size).collect()
    }
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // First, while the memory of this process holds nothing else.
    let mut figures = runtime.block_on(capacity::measure())?;
    figures.extend(scoring::measure()?);
    figures.extend(detectors::measure()?);
    figures.extend(streaming::measure()?);
    figures.extend(runtime.block_on(learning::measure())?);
    if std::env::var("DBMEDIC_FIGURES").is_ok_and(|which| which == "engine") {
        println!("\n{}\n", machine::description());
        table::print(&figures);
        return Ok(());
    }
    runtime.block_on(measure(&mut figures))?;
    println!("\n{}; {}\n", jiff::Timestamp::now().strftime("%Y-%m-%d"), machine::description());
    table::print(&figures);
    Ok(())
}

async fn measure(figures: &mut Vec<Figure>) -> Result<()> {
    let programs = Programs::find();
    figures.extend(programs.sizes()?);
    figures.push(storage::measure(&programs).await?);
    figures.extend(commands::measure(&programs)?);

    table::progress("starting a cluster and a shop");
    let cluster = Cluster::shared().await?;
    let options = Options { history_days: 14, history_step: 10, ..Options::default() };
    let mut shop = Shop::open(cluster, programs.0.clone(), options).await?;
    latency::prepare(&shop).await?;
    shop.import_history(2.0).await?;

    let proxy = ApiProxy::start(cluster).await?;
    let token = cluster.service_account_token(OPERATOR.0, OPERATOR.1).await?;
    let operator = shop.start_operator_with(proxy.kubeconfig(&token)?, "operator-0")?;
    figures.extend(story::measure(cluster, &shop, &proxy).await?);
    idle::stop(operator).await?;
    drop(proxy);

    let operator = shop.start_operator(cluster).await?;
    operator.ready().await?;
    observe(&mut shop, "1s", "1h", "");
    shop.apply_examples(cluster).await?;
    figures.push(database::light_round(&shop, &operator).await?);
    observe(&mut shop, "1s", "1h", latency::CLOCK);
    shop.apply_examples(cluster).await?;
    figures.splice(0..0, latency::measure(cluster, &shop, &operator).await?);
    idle::stop(operator).await?;

    // From here on the shop is watched as the quickstart has it, without the rules of the latency.
    let shop = quiet(cluster, &programs).await?;
    figures.push(idle::starts(cluster, &shop, &programs).await?);
    figures.extend(idle::minute(cluster, &shop).await?);
    figures.push(idle::writes(cluster, &shop).await?);
    Ok(())
}

/// How often the Baseline looks from its next application on, and its own metrics.
fn observe(shop: &mut Shop, interval: &'static str, statements: &str, metrics: &str) {
    let options = shop.options_mut();
    options.interval = interval;
    let own = format!("statementsInterval: {interval}");
    options.replace = vec![(own, format!("statementsInterval: {statements}"))];
    if !metrics.is_empty() {
        options
            .replace
            .push(("  refresh: daily".to_owned(), format!("{}  refresh: daily", metrics.trim_start_matches('\n'))));
    }
}

/// A shop as in the quickstart, with 14 days of history, the statements of weeks, and nobody who does anything.
async fn quiet(cluster: &Cluster, programs: &Programs) -> Result<Shop> {
    table::progress("a second, quiet shop");
    let options = Options {
        history_days: 14,
        history_step: 10,
        interval: "10s",
        persistence: "5m",
        rollback_timeout: "5m",
        replace: vec![("statementsInterval: 10s".to_owned(), "statementsInterval: 1m".to_owned())],
        ..Options::default()
    };
    let shop = Shop::open(cluster, programs.0.clone(), options).await?;
    shop.import_history(2.0).await?;
    database::fill_statements(&shop).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(shop)
}
