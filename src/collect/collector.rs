//! The task of one target: connects, looks each interval, reports, and connects again when the connection is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::backoff::{Backoff, chance};
use super::handle::{CollectorHandle, Command, WORK_LIMIT};
use super::report::{CollectorConfig, Report};
use super::reset;
use super::session::{Look, Session};
use crate::database::postgresql::statements::StatementHistory;
use crate::database::postgresql::{DatabaseError, observe};
use crate::learn::UsualTimes;
use crate::measure::{ABSENT, BUILT_IN, Identity, Interval, Observation, Round, Unavailable};

/// How long the first round waits for what was learnt earlier: a slow disk must not keep a database from being watched.
const USUAL_LIMIT: Duration = Duration::from_secs(2);
/// How often what the statements usually take is handed on while nothing happens.
const USUAL_EVERY: Duration = Duration::from_mins(10);

/// Starts a collector. It ends when `cancel` is cancelled or nobody receives its reports any more.
///
/// `usual` brings what the statements usually take, as it was stored; `quiet` says whether no rule of the target is
/// breached, so that an incident is never learnt as usual.
pub fn spawn(
    config: CollectorConfig,
    usual: oneshot::Receiver<UsualTimes>,
    quiet: Arc<AtomicBool>,
    reports: mpsc::Sender<(usize, Report)>,
    cancel: CancellationToken,
) -> CollectorHandle {
    let (commands, inbox) = mpsc::channel(8);
    let (identity, identity_seen) = watch::channel(None);
    let now = Instant::now();
    let collector = Collector {
        config,
        quiet,
        was_quiet: true,
        next_usual: now + USUAL_EVERY,
        reports,
        inbox,
        identity,
        began: now,
        next_round: now,
        next_dear: now,
        last: None,
        comparable: false,
        history: StatementHistory::default(),
        reported_unavailable: None,
        failure: None,
    };
    tokio::spawn(async move {
        // Dropping the task wherever it waits is safe: it holds nothing but a connection.
        let _ = cancel.run_until_cancelled_owned(Box::pin(collector.run(usual))).await;
    });
    CollectorHandle { commands, identity: identity_seen }
}

/// Nobody listens any more.
struct Unheard;

struct Collector {
    config: CollectorConfig,
    quiet: Arc<AtomicBool>,
    was_quiet: bool,
    next_usual: Instant,
    reports: mpsc::Sender<(usize, Report)>,
    inbox: mpsc::Receiver<Command>,
    identity: watch::Sender<Option<Identity>>,
    began: Instant,
    next_round: Instant,
    next_dear: Instant,
    last: Option<(Observation, Instant)>,
    /// Whether the next look may be compared with the last: not across connections, between which anything may have
    /// happened.
    comparable: bool,
    history: StatementHistory,
    reported_unavailable: Option<Vec<Unavailable>>,
    failure: Option<DatabaseError>,
}

enum Ended {
    Lost(DatabaseError),
    Unheard,
}

impl From<Unheard> for Ended {
    fn from(_: Unheard) -> Self {
        Self::Unheard
    }
}

impl From<DatabaseError> for Ended {
    fn from(error: DatabaseError) -> Self {
        Self::Lost(error)
    }
}

impl Collector {
    async fn run(mut self, usual: oneshot::Receiver<UsualTimes>) {
        if let Ok(Ok(usual)) = tokio::time::timeout(USUAL_LIMIT, usual).await {
            self.history.set_usual(usual);
        }
        let mut backoff = Backoff::new(self.config.interval);
        loop {
            let ended = match Session::open(&self.config.endpoint).await {
                Ok(session) => self.serve(session, &mut backoff).await,
                Err(error) => Ended::Lost(error),
            };
            self.identity.send_replace(None);
            self.comparable = false;
            let Ended::Lost(error) = ended else { return };
            let known = self.failure.as_ref().is_some_and(|failure| failure.class() == error.class());
            self.failure = Some(error.clone());
            if !known && self.report(Report::Failed(error)).await.is_err() {
                return;
            }
            let until = Instant::now() + backoff.wait(chance());
            if self.wait_unconnected(until).await.is_err() {
                return;
            }
        }
    }

    /// Looks each interval until the connection is lost.
    async fn serve(&mut self, mut session: Session, backoff: &mut Backoff) -> Ended {
        // What the first look shows is compared with nothing, and is wanted in full at once.
        self.next_round = Instant::now();
        self.next_dear = self.next_round;
        loop {
            let step = tokio::select! {
                () = tokio::time::sleep_until(self.next_round.into()) => self.round(&mut session).await,
                // Without any handle left, rounds go on.
                Some(command) = self.inbox.recv() => self.obey(command, &mut session).await.map_err(Ended::from),
            };
            match step {
                Ok(()) => backoff.reset(),
                Err(ended) => {
                    if matches!(ended, Ended::Unheard) {
                        session.close().await;
                    }
                    return ended;
                }
            }
        }
    }

    async fn round(&mut self, session: &mut Session) -> Result<(), Ended> {
        let now = Instant::now();
        // Half an interval of tolerance, so that a dear round is not put off by a whole interval for a millisecond.
        let dear = now + self.config.interval / 2 >= self.next_dear;
        if dear {
            self.next_dear = now + self.config.statements_interval;
        }
        self.schedule();
        let at = epoch_ms();
        let look = session.look(dear, &self.config.custom, &mut self.history, at, self.began).await?;
        self.announce(session).await?;
        if self.reported_unavailable.as_ref() != Some(&look.observation.unavailable) {
            let unavailable = look.observation.unavailable.clone();
            self.reported_unavailable = Some(unavailable.clone());
            self.report(Report::Unavailable(unavailable)).await?;
        }
        let round = self.compare(look).await?;
        let role = session.identity.role;
        self.report(Report::Round { round, role, received: Instant::now() }).await?;
        Ok(())
    }

    /// Says who answers, when that is news.
    async fn announce(&mut self, session: &Session) -> Result<(), Unheard> {
        let identity = session.identity.clone();
        if self.identity.borrow().as_ref() == Some(&identity) {
            return Ok(());
        }
        self.failure = None;
        self.identity.send_replace(Some(identity.clone()));
        self.report(Report::Connected { identity, version: session.version.clone() }).await
    }

    /// The values of a look, against the last one.
    async fn compare(&mut self, look: Look) -> Result<Round, Unheard> {
        let Look { observation, taken, statements } = look;
        if let Some((last, _)) = &self.last {
            let other_life = reset::of_server(&last.identity, &observation.identity).is_some();
            let reason = reset::between(last, &observation);
            if other_life {
                self.history.clear();
                // A restart or a failover changes the counters, not what a statement usually takes.
                if last.identity.system_identifier != observation.identity.system_identifier {
                    self.history.set_usual(UsualTimes::default());
                }
            }
            if let Some(reason) = reason {
                self.comparable = false;
                self.report(Report::Reset(reason)).await?;
            }
        }
        let mut grown = None;
        if let Some(snapshot) = statements {
            self.settle().await?;
            if self.history.was_reset(&snapshot) {
                self.report(Report::Reset("the statements' statistics were reset".into())).await?;
            }
            grown = self.history.push(snapshot);
        }
        let last = self.last.as_ref().filter(|_| self.comparable);
        let interval = Interval {
            previous: last.map(|(observation, _)| observation),
            current: &observation,
            elapsed_seconds: last.map_or(0.0, |(_, earlier)| (taken - *earlier).as_secs_f64()),
            statements: grown,
        };
        let built_in = BUILT_IN.iter().map(|metric| (metric.value)(&interval));
        let values = built_in.chain(observation.custom.iter().copied());
        let values = values.map(|value| value.map_or(ABSENT, |value| value as f32)).collect();
        let round = Round { target: self.config.target_index, at: observation.at, values };
        self.last = Some((observation, taken));
        self.comparable = true;
        Ok(round)
    }

    /// Learns what the statements usually take, and hands it on when the quiet has ended or enough time has passed.
    async fn settle(&mut self) -> Result<(), Unheard> {
        let quiet = self.quiet.load(Ordering::Relaxed);
        self.history.settle(quiet);
        let ended = std::mem::replace(&mut self.was_quiet, quiet) && !quiet;
        let now = Instant::now();
        if (ended || (quiet && now >= self.next_usual)) && !self.history.usual().is_empty() {
            self.next_usual = now + USUAL_EVERY;
            self.report(Report::UsualTimes(self.history.usual().clone())).await?;
        }
        Ok(())
    }

    async fn obey(&mut self, command: Command, session: &mut Session) -> Result<(), DatabaseError> {
        let Command::Work(work) = command else {
            self.answer_since(command);
            return Ok(());
        };
        let done = tokio::time::timeout(WORK_LIMIT, work(Ok((&mut session.connection, &self.history)))).await;
        if done.is_err() {
            // Its answer may still be on the wire; only a new connection is clean.
            return Err(DatabaseError::Unreachable(format!("work not done within {} s", WORK_LIMIT.as_secs())));
        }
        observe::answer(sqlx::raw_sql("rollback; reset all").execute(&mut session.connection)).await?;
        Ok(())
    }

    fn answer_since(&self, command: Command) {
        if let Command::Since { since_ms, query_ids, reply } = command {
            // Whoever asked may have gone away.
            let _ = reply.send(self.history.since(since_ms, &query_ids));
        }
    }

    /// Waits to connect again; meanwhile rounds are absent and work is refused.
    async fn wait_unconnected(&mut self, until: Instant) -> Result<(), Unheard> {
        loop {
            if self.next_round <= Instant::now() {
                self.schedule();
                let values = vec![ABSENT; BUILT_IN.len() + self.config.custom.len()];
                let round = Round { target: self.config.target_index, at: epoch_ms(), values };
                let role = self.last.as_ref().map(|(last, _)| last.identity.role).unwrap_or_default();
                self.report(Report::Round { round, role, received: Instant::now() }).await?;
            }
            let wake = until.min(self.next_round);
            tokio::select! {
                () = tokio::time::sleep_until(wake.into()) => {
                    if wake == until {
                        return Ok(());
                    }
                }
                Some(command) = self.inbox.recv() => match command {
                    Command::Work(work) => {
                        let error = self.failure.clone().unwrap_or_else(|| DatabaseError::Unreachable("no connection".into()));
                        work(Err(error)).await;
                    }
                    since @ Command::Since { .. } => self.answer_since(since),
                },
            }
        }
    }

    /// The next round is an interval after this one was due; what was missed is left out.
    fn schedule(&mut self) {
        let now = Instant::now();
        self.next_round += self.config.interval;
        if self.next_round <= now {
            self.next_round = now + self.config.interval;
        }
    }

    async fn report(&self, report: Report) -> Result<(), Unheard> {
        self.reports.send((self.config.target_index, report)).await.map_err(|_| Unheard)
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn epoch_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
}
