//! What a round costs the server. Run by hand: `cargo test --lib -- --ignored --nocapture cost_of`.

use std::fmt::Write as _;
use std::time::Instant;

use crate::collect::session::Session;
use crate::database::postgresql::fixture::TestServer;
use crate::database::postgresql::statements::StatementHistory;

/// CPU time of a process in ms (`/proc/PID/schedstat`, first figure, ns).
fn cpu_ms(pid: i32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e6
}

#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn cost_of_rounds() {
    let server = TestServer::start().await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(server.administrator("postgres").await);
    }
    let mut statements = String::new();
    let columns: Vec<String> = (0..70).map(|number| format!("column_{number} int")).collect();
    server.sql(&format!("create table wide ({})", columns.join(", "))).await;
    for (first, second) in (0..70).flat_map(|first| (0..70).map(move |second| (first, second))) {
        write!(statements, "select column_{first}, column_{second} from wide;").unwrap();
    }
    server.sql(&statements).await;
    let mut session = Session::open(&server.endpoint("monitor", "postgres")).await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut session.connection).await.unwrap();
    let (mut history, began) = (StatementHistory::default(), Instant::now());
    for (name, dear, count) in [("first dear", true, 1), ("light", false, 2_000), ("dear", true, 50)] {
        let (cpu, clock) = (cpu_ms(pid), Instant::now());
        for turn in 0..count {
            let look = session.look(dear, &[], &mut history, turn, began).await.unwrap();
            look.statements.and_then(|snapshot| history.push(snapshot));
        }
        let each = |total: f64| total / count as f64;
        let (cpu, clock) = (each(cpu_ms(pid) - cpu), each(clock.elapsed().as_secs_f64() * 1e3));
        eprintln!("{name}: {cpu:.3} ms of server CPU, {clock:.3} ms until it is there");
    }
}
