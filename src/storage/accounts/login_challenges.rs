//! Logins that wait for their second factor: kept for minutes, tried a few times, completed once.

use diesel::{
    ExpressionMethods as _, JoinOnDsl as _, OptionalExtension as _, QueryDsl as _, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;

use super::sweep::sweep;
use super::users::UserRow;
use crate::domain::{
    CHALLENGE_TRIES, ChallengeId, Device, Draft, LoginChallenge, NewChallenge, Result, SecondFactor,
    Timestamp, UserId,
};
use crate::storage::engine::error::corrupt;
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::{login_challenges, second_factors, users};

/// The challenges.
#[derive(Debug)]
pub struct LoginChallenges<'a> {
    pool: &'a Pool,
}

/// What was shown for a second factor.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds the hash of a recovery code")]
pub enum ShownFactor {
    /// A code of this step.
    Step(i64),
    /// The recovery code with this hash, and the event that tells of it.
    Recovery(Vec<u8>, Draft),
}

/// What completes a login, to be spent in the transaction that opens its session.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds the hash of a recovery code")]
pub struct Completion {
    /// The challenge.
    pub challenge: ChallengeId,
    /// What was shown.
    pub shown: ShownFactor,
}

/// Spends what completes a login, or fails with what of it was spent before: `spend!(conn, user, completion, now)` inside
/// `with_write!`, once the row of the user is locked.
macro_rules! spend {
    ($conn:ident, $user:expr, $completion:expr, $now:expr) => {{
        use $crate::storage::accounts::login_challenges::ShownFactor;
        use $crate::storage::schema::{login_challenges, recovery_codes, second_factors};
        let challenge = login_challenges::table.find((Id::from($user), Id::from($completion.challenge)));
        if diesel::delete(challenge).execute($conn).await? == 0 {
            return Err(Error::ChallengeInvalid);
        }
        let spent = match &$completion.shown {
            ShownFactor::Step(step) => {
                let newer = second_factors::table
                    .find(Id::from($user))
                    .filter(second_factors::confirm_time.is_not_null())
                    .filter(second_factors::last_step.lt(*step));
                diesel::update(newer).set(second_factors::last_step.eq(*step)).execute($conn).await?
            }
            ShownFactor::Recovery(hash, draft) => {
                let code = recovery_codes::table.find((Id::from($user), hash));
                let spent = diesel::delete(code).execute($conn).await?;
                record!($conn, Some(draft), $user, None, $now);
                spent
            }
        };
        if spent == 0 {
            return Err(Error::CodeInvalid);
        }
    }};
}
pub(in crate::storage) use spend;

impl<'a> LoginChallenges<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// Keeps a challenge.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn create(&self, new: NewChallenge) -> Result<()> {
        with_write!(self.pool, async move |conn| {
            diesel::insert_into(login_challenges::table)
                .values((
                    login_challenges::user_id.eq(Id::from(new.user)),
                    login_challenges::id.eq(Id::from(new.id)),
                    login_challenges::secret_hash.eq(&new.secret_hash),
                    login_challenges::proved_hash.eq(&new.proved_hash),
                    login_challenges::device.eq(new.device.as_str()),
                    login_challenges::tries.eq(0_i16),
                    login_challenges::expire_time.eq(Moment::from(new.expire_time)),
                ))
                .execute(conn)
                .await?;
            Ok::<(), Error>(())
        })
    }

    /// A challenge with its user and their second factor; `None` when any of them is gone.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find(&self, user: UserId, id: ChallengeId) -> Result<Option<LoginChallenge>> {
        type Row =
            (UserRow, Option<String>, (Vec<u8>, Vec<u8>, String, Moment), (Vec<u8>, Option<Moment>, i64));
        let row: Option<Row> = with_conn!(self.pool, |conn| {
            login_challenges::table
                .inner_join(users::table.on(users::id.eq(login_challenges::user_id)))
                .inner_join(second_factors::table.on(second_factors::user_id.eq(login_challenges::user_id)))
                .filter(login_challenges::user_id.eq(Id::from(user)))
                .filter(login_challenges::id.eq(Id::from(id)))
                .select((
                    UserRow::as_select(),
                    users::password_hash,
                    (
                        login_challenges::secret_hash,
                        login_challenges::proved_hash,
                        login_challenges::device,
                        login_challenges::expire_time,
                    ),
                    (second_factors::secret, second_factors::confirm_time, second_factors::last_step),
                ))
                .first(conn)
                .await
                .optional()
        })?;
        row.map(|(user, password_hash, (secret_hash, proved_hash, device, expire_time), factor)| {
            let (sealed, confirm_time, last_step) = factor;
            Ok(LoginChallenge {
                user: user.try_into()?,
                password_hash,
                secret_hash,
                proved_hash,
                device: Device::parse(&device).map_err(corrupt("device"))?,
                expire_time: expire_time.try_into()?,
                factor: SecondFactor { sealed, confirmed: confirm_time.is_some(), last_step },
            })
        })
        .transpose()
    }

    /// Takes one of the tries that a challenge has; answers whether there was one left.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn take_try(&self, user: UserId, id: ChallengeId) -> Result<bool> {
        with_write!(self.pool, async move |conn| {
            let left = login_challenges::table
                .find((Id::from(user), Id::from(id)))
                .filter(login_challenges::tries.lt(CHALLENGE_TRIES));
            let taken = diesel::update(left)
                .set(login_challenges::tries.eq(login_challenges::tries + 1_i16))
                .execute(conn)
                .await?;
            Ok::<bool, Error>(taken == 1)
        })
    }

    /// Removes challenges that ended before `cutoff`, a bounded number at a time; answers how many. Several replicas may do
    /// this at once.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self, cutoff: Timestamp) -> Result<usize> {
        let key = (login_challenges::user_id, login_challenges::id);
        sweep!(self.pool, login_challenges, expire_time < cutoff, key, (Id, Id))
    }
}
