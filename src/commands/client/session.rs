//! A session that several processes share: what one of them makes of it, the others find in the file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::Failure;
use super::credentials::{Credentials, Lock};
use crate::cli::address::ServiceAddress;
use crate::client::{Builder, Session};

/// A session that lasts longer than this needs no exchange of its tokens.
const FRESH: Duration = Duration::from_secs(30);
/// How long others wait at most for an exchange. The service takes a token again that was used just now, once: with the
/// lock nobody comes later than that, and nobody waits for a process that waits for a service.
const HELD_MAX: Duration = Duration::from_secs(8);

struct Shared {
    credentials: Credentials,
    address: ServiceAddress,
    user: String,
    state: Mutex<State>,
}

struct State {
    /// The refresh token that was last found in the file, or written to it.
    known: String,
    /// Held from when the file is read for an exchange until its outcome is written.
    lock: Option<Lock>,
    exchanges: u64,
}

/// Goes on with a session that is kept, and keeps what becomes of it.
pub(super) fn shared(
    builder: Builder,
    credentials: Credentials,
    address: ServiceAddress,
    session: Session,
) -> Builder {
    let state = State { known: session.refresh_token.clone(), lock: None, exchanges: 0 };
    let user = session.user.clone();
    let shared = Arc::new(Shared { credentials, address, user, state: Mutex::new(state) });
    let loading = Arc::clone(&shared);
    builder
        .session(session)
        .load_session(move || loading.load())
        .on_session(move |session| shared.keep(session))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session as it is kept now. Unless it is good as it is, others are kept from exchanging its tokens meanwhile.
    fn load(self: &Arc<Self>) -> Option<Session> {
        let mut state = self.state();
        if state.lock.is_none() {
            // Without the lock there is still what the service forgives.
            state.lock = self.credentials.lock().ok();
            state.exchanges += 1;
            self.release_later(state.exchanges);
        }
        let kept = self.credentials.read().ok();
        let login = kept.and_then(|kept| kept.services.get(self.address.as_str()).cloned());
        let Some(login) = login.filter(|login| login.session.user == self.user) else {
            state.lock = None;
            return None;
        };
        let is_fresh = login.session.access_expires_at > SystemTime::now() + FRESH;
        if is_fresh && login.session.refresh_token != state.known {
            state.lock = None;
        }
        state.known.clone_from(&login.session.refresh_token);
        Some(login.session)
    }

    fn release_later(self: &Arc<Self>, exchange: u64) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(HELD_MAX).await;
            let mut state = shared.state();
            if state.exchanges == exchange {
                state.lock = None;
            }
        });
    }

    fn keep(&self, session: Option<&Session>) {
        let mut state = self.state();
        if let Err(failure) = self.write(&mut state, session) {
            failure.warn();
        }
        if let Some(session) = session {
            state.known.clone_from(&session.refresh_token);
        }
    }

    fn write(&self, state: &mut State, session: Option<&Session>) -> Result<(), Failure> {
        let lock = match state.lock.take() {
            Some(lock) => lock,
            None => self.credentials.lock()?,
        };
        match session {
            Some(session) => self.credentials.renew(&lock, &self.address, &state.known, session),
            None => self.credentials.end(&lock, &self.address, &state.known),
        }
    }
}
