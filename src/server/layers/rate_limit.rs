//! How often one user may call. Off unless it is set; each replica counts for itself.

use std::future::{Ready, ready};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use futures_util::future::Either;
use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::api::status;
use crate::auth::Principal;
use crate::domain::{Error, Result, UserId};
use crate::methods::{Class, Method};

/// How often one user may call.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Calls a second in the long run.
    pub per_second: NonZeroU32,
    /// Calls at once after a rest.
    pub burst: NonZeroU32,
}

/// After so many calls the users whose rest is complete are forgotten: there are never more in memory than called
/// since, and those who are still owed a rest.
const TIDY_EVERY: u32 = 16_384;

type Limiter = RateLimiter<
    UserId,
    HashMapStateStore<UserId>,
    MonotonicClock,
    NoOpMiddleware<<MonotonicClock as governor::clock::Clock>::Instant>,
>;

#[derive(Debug)]
struct Limits {
    limiter: Limiter,
    clock: MonotonicClock,
    calls: AtomicU32,
}

impl Limits {
    fn new(rate: RateLimit) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock);
        Self { limiter, clock: MonotonicClock, calls: AtomicU32::new(0) }
    }

    fn check(&self, user: UserId) -> Result<()> {
        if self.calls.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter
            .check_key(&user)
            .map_err(|until| Error::TooManyCalls { retry_after: until.wait_time_from(self.clock.now()) })
    }
}

#[derive(Debug, Clone)]
pub(in crate::server) struct RateLimitLayer {
    limits: Option<Arc<Limits>>,
}

impl RateLimitLayer {
    pub(in crate::server) fn new(rate: Option<RateLimit>) -> Self {
        Self { limits: rate.map(|rate| Arc::new(Limits::new(rate))) }
    }
}

impl<Inner> Layer<Inner> for RateLimitLayer {
    type Service = RateLimited<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        RateLimited { inner, limits: self.limits.clone() }
    }
}

#[derive(Debug, Clone)]
pub(in crate::server) struct RateLimited<Inner> {
    inner: Inner,
    limits: Option<Arc<Limits>>,
}

impl<Inner, RequestBody> Service<Request<RequestBody>> for RateLimited<Inner>
where
    Inner: Service<Request<RequestBody>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Either<Inner::Future, Ready<Result<Response<Body>, Inner::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        if let Some(limits) = &self.limits
            && let Some(principal) = request.extensions().get::<Principal>()
            && Method::of(request.uri().path()).class() != Class::Always
            && let Err(error) = limits.check(principal.user)
        {
            return Either::Right(ready(Ok(status::response(error))));
        }
        Either::Left(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::{Limits, RateLimit, TIDY_EVERY};
    use crate::domain::{Error, UserId};

    fn limits(per_second: u32, burst: u32) -> Limits {
        let count = |count| NonZeroU32::new(count).unwrap();
        Limits::new(RateLimit { per_second: count(per_second), burst: count(burst) })
    }

    #[test]
    fn a_user_who_calls_too_often_waits_and_others_do_not() {
        let limits = limits(1, 3);
        let (one, other) = (UserId::generate(), UserId::generate());
        for _ in 0..3 {
            assert_eq!(limits.check(one), Ok(()));
        }
        let Err(Error::TooManyCalls { retry_after }) = limits.check(one) else {
            panic!("a fourth call");
        };
        assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(1), "{retry_after:?}");
        assert_eq!(limits.check(other), Ok(()));
    }

    #[test]
    fn who_has_rested_is_forgotten() {
        let limits = limits(1_000_000, 1);
        for _ in 0..3 * TIDY_EVERY {
            let _ = limits.check(UserId::generate());
        }
        assert!(limits.limiter.len() <= 2 * TIDY_EVERY as usize, "{}", limits.limiter.len());
    }
}
