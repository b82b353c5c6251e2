//! A session as a program keeps it, and where a client holds its own.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};

use super::error::{Error, Result};
use super::retry::idempotency_key;
use taskwire_proto as pb;

/// A login, to be kept between two runs of a program. Whoever has it is logged in: keep it where only its owner reads.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What the calls carry.
    pub access_token: String,
    /// What the next access token is had for. Works once.
    pub refresh_token: String,
    /// When the access token ends, by the clock of this machine.
    #[serde(with = "seconds")]
    pub access_expires_at: SystemTime,
    /// When the refresh token ends.
    #[serde(with = "seconds")]
    pub refresh_expires_at: SystemTime,
    /// Whose it is, `users/{user}`.
    pub user: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user", &self.user)
            .field("access_expires_at", &self.access_expires_at)
            .field("refresh_expires_at", &self.refresh_expires_at)
            .finish_non_exhaustive()
    }
}

/// What is known of the exchange that was tried last.
#[derive(Default)]
pub(super) struct Exchange {
    /// One that was begun and not answered. It is repeated with its own id: the service may have carried it out.
    pub(super) pending: Option<pb::RefreshSessionRequest>,
    /// When the last one failed, and by what.
    pub(super) failed: Option<(Instant, Error)>,
}

impl Exchange {
    /// The request for this token: as it was, if it was begun before.
    pub(super) fn request(&mut self, refresh_token: &str) -> pb::RefreshSessionRequest {
        let pending = self.pending.take().filter(|begun| begun.refresh_token == refresh_token);
        let request = pending.unwrap_or_else(|| pb::RefreshSessionRequest {
            refresh_token: refresh_token.to_owned(),
            request_id: idempotency_key(),
        });
        self.pending = Some(request.clone());
        request
    }

    /// Why the exchange failed that was under way at this time or later.
    pub(super) fn failure_since(&self, time: Instant) -> Option<Error> {
        self.failed.as_ref().filter(|(failed, _)| *failed >= time).map(|(_, error)| error.clone())
    }
}

/// A time as whole seconds, as it stands in a file.
mod seconds {
    use super::{Deserialize as _, Deserializer, Duration, Serializer, SystemTime, UNIX_EPOCH};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let seconds = u64::deserialize(from)?;
        UNIX_EPOCH
            .checked_add(Duration::from_secs(seconds))
            .ok_or_else(|| serde::de::Error::custom("the time lies too far ahead"))
    }
}

/// How long before its end an access token is exchanged, at most: more than a call and two clocks' difference take.
const EARLY: Duration = Duration::from_secs(30);

/// A session with what is derived from it.
pub(super) struct CachedSession {
    pub(super) session: Session,
    pub(super) bearer: MetadataValue<Ascii>,
    /// From when on the access token is exchanged before a call.
    refresh_from: SystemTime,
}

impl CachedSession {
    /// A session that the program kept. How long its tokens live as a rule is not known.
    pub(super) fn kept(session: Session) -> Result<Arc<Self>> {
        Self::new(session, EARLY)
    }

    /// What the service has just answered to a call made at this time.
    pub(super) fn answered(pair: pb::TokenPair, asked: SystemTime) -> Result<Arc<Self>> {
        let lifetime = |duration: Option<prost_types::Duration>| {
            duration.and_then(|duration| Duration::try_from(duration).ok()).unwrap_or_default()
        };
        let access = lifetime(pair.access_expires_in);
        let session = Session {
            access_token: pair.access_token,
            refresh_token: pair.refresh_token,
            access_expires_at: whole_seconds(asked, access),
            refresh_expires_at: whole_seconds(asked, lifetime(pair.refresh_expires_in)),
            user: pair.user.map(|user| user.name).unwrap_or_default(),
        };
        // Short-lived tokens would otherwise be exchanged before every call.
        Self::new(session, EARLY.min(access / 4))
    }

    fn new(session: Session, early: Duration) -> Result<Arc<Self>> {
        let bearer = bearer(&session.access_token)?;
        let refresh_from = session.access_expires_at.checked_sub(early).unwrap_or(UNIX_EPOCH);
        Ok(Arc::new(Self { session, bearer, refresh_from }))
    }

    pub(super) fn is_near_its_end(&self) -> bool {
        SystemTime::now() >= self.refresh_from
    }

    pub(super) fn is_at_its_end(&self) -> bool {
        SystemTime::now() >= self.session.access_expires_at
    }
}

fn whole_seconds(from: SystemTime, lifetime: Duration) -> SystemTime {
    let since = from.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(lifetime);
    UNIX_EPOCH.checked_add(Duration::from_secs(since.as_secs())).unwrap_or(from)
}

/// The value of `authorization`.
pub(super) fn bearer(token: &str) -> Result<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {token}").parse().map_err(|_| Error::setting("the token is no token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the error says that there is no such session any more.
pub(super) fn is_over(error: &Error) -> bool {
    matches!(
        error.reason(),
        "SESSION_REVOKED" | "REFRESH_TOKEN_INVALID" | "REFRESH_TOKEN_REUSED" | "USER_DISABLED"
    )
}

pub(super) type OnSession = Box<dyn Fn(Option<&Session>) + Send + Sync>;
pub(super) type LoadSession = Box<dyn Fn() -> Option<Session> + Send + Sync>;

/// Where a client holds its session.
pub(super) struct SessionStore {
    held: RwLock<Option<Arc<CachedSession>>>,
    on_session: Option<OnSession>,
    load_session: Option<LoadSession>,
}

impl SessionStore {
    pub(super) fn new(
        held: Option<Arc<CachedSession>>,
        on_session: Option<OnSession>,
        load_session: Option<LoadSession>,
    ) -> Self {
        Self { held: RwLock::new(held), on_session, load_session }
    }

    pub(super) fn get(&self) -> Option<Arc<CachedSession>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a new session, or none, and tells the program. To be called by one at a time.
    pub(super) fn put(&self, held: Option<Arc<CachedSession>>) {
        self.take(held.clone());
        if let Some(on_session) = &self.on_session {
            on_session(held.as_ref().map(|held| &held.session));
        }
    }

    /// Takes what another process has made of this session, if it has.
    pub(super) fn reload(&self, known: &Session) -> Option<Arc<CachedSession>> {
        let session = self.load_session.as_ref()?()?;
        if session.user != known.user || session.refresh_token == known.refresh_token {
            return None;
        }
        let held = CachedSession::kept(session).ok()?;
        self.take(Some(Arc::clone(&held)));
        Some(held)
    }

    fn take(&self, held: Option<Arc<CachedSession>>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }
}
