//! Looks at a database for a diagnosis, over the collector's kept connection.

use super::CollectorHandle;
use crate::database::DatabaseError;
use crate::database::postgresql::look::look;
use crate::diagnose::Looked;

impl CollectorHandle {
    /// What can be seen of the incident that began at `onset` (milliseconds since the Unix epoch): the statements that
    /// grew, their plans and tables, and the load. Nothing that came from the database is executed.
    ///
    /// # Errors
    /// [`DatabaseError`] when there is no connection, or a right or time is missing.
    pub async fn look(&self, onset: i64) -> Result<Looked, DatabaseError> {
        self.with_connection(move |connection, history| {
            let growth = history.growth(onset);
            Box::pin(async move { look(connection, &growth).await })
        })
        .await
    }
}
