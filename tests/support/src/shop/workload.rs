//! The application of the shop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::{Connection, Executor};
use tokio::task::JoinHandle;

use super::{Options, Shop};
use crate::Postgres;

impl Shop {
    /// Starts the application: see [`Workload`].
    ///
    /// # Errors
    /// The database refuses the connections.
    pub async fn start_workload(&self, clients: usize, pause: Duration) -> Result<Workload> {
        Workload::start(&self.postgres, clients, pause, &self.options).await
    }
}

/// A steady mixed workload: reads by customer, updates by key, inserts. It ends when it is dropped.
pub struct Workload {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Workload {
    async fn start(postgres: &Postgres, clients: usize, pause: Duration, shop: &Options) -> Result<Self> {
        let (rows, customers) = (shop.rows, shop.customers());
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let options = postgres.options("orders")?.username("orders_app").password("app").application_name("orders-app");
        let mut tasks = Vec::new();
        for client in 0..clients {
            let (stop, done, options) = (stop.clone(), done.clone(), options.clone());
            let mut connection = Some(sqlx::PgConnection::connect_with(&options).await?);
            tasks.push(tokio::spawn(async move {
                let mut turn = client as u64 * 7919;
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // An application reconnects when its server went away.
                    match &mut connection {
                        Some(open) => {
                            if statement(open, turn, rows, customers).await.is_ok() {
                                done.fetch_add(1, Ordering::Relaxed);
                            } else {
                                connection = None;
                            }
                        }
                        None => connection = sqlx::PgConnection::connect_with(&options).await.ok(),
                    }
                    tokio::time::sleep(pause.saturating_sub(began.elapsed()).max(Duration::from_millis(1))).await;
                }
            }));
        }
        Ok(Self { stop, done, clients: tasks })
    }

    /// Statements that were answered.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.iter().for_each(JoinHandle::abort);
    }
}

async fn statement(connection: &mut sqlx::PgConnection, turn: u64, rows: u64, customers: u64) -> sqlx::Result<()> {
    let key = i64::try_from((turn >> 16) % rows + 1).unwrap_or(1);
    let customer = i32::try_from((turn >> 16) % customers).unwrap_or(1);
    let query = match (turn >> 40) % 10 {
        0..=5 => sqlx::query(
            "select id, amount, created_at from orders where customer_id = $1 order by created_at desc limit 10",
        )
        .bind(customer),
        6..=8 => sqlx::query("update orders set amount = amount + 1 where id = $1").bind(key),
        _ => sqlx::query("insert into orders (customer_id, status, amount, note) values ($1, 'open', 10, 'new')")
            .bind(customer),
    };
    connection.execute(query).await.map(drop)
}
