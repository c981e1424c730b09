//! Looks at a database for a diagnosis, over the collector's kept connection.

use super::CollectorHandle;
use crate::database::DatabaseError;
use crate::database::postgresql::look::{LookError, look};
use crate::diagnose::{Looked, StatementGrowth};

impl CollectorHandle {
    /// What can be seen of the incident that began at `onset` (milliseconds since the Unix epoch): the statements that
    /// grew, their plans and tables, and the load. Nothing that came from the database is executed.
    ///
    /// # Errors
    /// [`DatabaseError`] when there is no connection, or a right or time is missing.
    pub async fn look(&self, onset: i64) -> Result<Looked, DatabaseError> {
        self.with_connection(move |connection, history| {
            let growth: Vec<StatementGrowth> = history
                .growth(onset)
                .into_iter()
                .map(|one| StatementGrowth {
                    query_id: one.query_id,
                    calls_before: one.calls_before,
                    mean_before_ms: one.mean_before_ms,
                    calls_per_second_before: None,
                    calls: one.calls,
                    mean_ms: one.mean_ms,
                    calls_per_second: one.calls_per_second,
                    rows_per_call: one.rows_per_call,
                    total_ms: one.total_ms,
                })
                .collect();
            Box::pin(async move { look(connection, &growth).await.map_err(DatabaseError::from) })
        })
        .await
    }
}

impl From<LookError> for DatabaseError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Permission(message) => Self::Permission(message),
            LookError::Timeout(message) => Self::Timeout(message),
            LookError::Other(message) => Self::Other(message),
        }
    }
}
