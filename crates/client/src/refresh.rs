//! The exchange of an old pair of tokens for a new one: by one caller at a time, for all.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::call::{Bounds, Core, Kind};
use super::error::{Error, Result};
use super::session::{CachedSession, Exchange, is_over};
use taskwire_proto::user_service_client::UserServiceClient;

impl Core {
    /// The session with other tokens than these. Whoever asks meanwhile waits and gets the same.
    pub(super) async fn exchanged(&self, old: &CachedSession, bounds: Bounds) -> Result<Arc<CachedSession>> {
        let asked = Instant::now();
        let mut exchange = tokio::time::timeout_at(bounds.deadline, self.exchange.lock())
            .await
            .map_err(|_| Error::deadline())?;
        match self.session_store.get() {
            Some(held) if held.session.access_token != old.session.access_token => return Ok(held),
            Some(_) => {}
            // Somebody who waited less long was told why.
            None => return Err(exchange.failure_since(asked).unwrap_or_else(Error::logged_out)),
        }
        if let Some(error) = exchange.failure_since(asked) {
            return Err(error);
        }
        if let Some(held) = self.session_store.reload(&old.session)
            && !held.is_near_its_end()
        {
            return Ok(held);
        }
        let exchanged = self.exchange(&mut exchange, bounds).await;
        if let Err(error) = &exchanged {
            exchange.failed = Some((Instant::now(), error.clone()));
            if is_over(error) {
                self.session_store.put(None);
            }
        }
        exchanged
    }

    async fn exchange(&self, exchange: &mut Exchange, bounds: Bounds) -> Result<Arc<CachedSession>> {
        let held = self.session_store.get().ok_or_else(Error::logged_out)?;
        let request = exchange.request(&held.session.refresh_token);
        let refresh =
            |channel, request| async move { UserServiceClient::new(channel).refresh_session(request).await };
        let asked = SystemTime::now();
        let pair = self.repeated(Kind::Idempotent, bounds, None, &request, &refresh).await?;
        let held = CachedSession::answered(pair, asked)?;
        exchange.pending = None;
        self.session_store.put(Some(Arc::clone(&held)));
        Ok(held)
    }
}
