//! The auth interceptor: bearer metadata → `Principal` in the request's extensions, before any handler.
//!
//! A tower layer rather than a tonic interceptor, because it needs the method's path. It fails closed: a method
//! without an entry in the list of methods is refused, and so is a call without a valid token where one is needed.
//! A token of ours is verified on the spot; only what has to be looked up is waited for.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

use super::{Authenticator, Principal, Verdict};
use crate::domain::{Error, Result, Role};
use crate::methods::{Access, Method};

/// Wraps every service of the process.
#[derive(Debug, Clone)]
pub struct AuthLayer<Refuse> {
    authenticator: Arc<Authenticator>,
    refuse: Refuse,
}

impl<Refuse> AuthLayer<Refuse> {
    /// Verifies with `authenticator`; `refuse` says how an error looks on the wire.
    pub const fn new(authenticator: Arc<Authenticator>, refuse: Refuse) -> Self {
        Self { authenticator, refuse }
    }
}

impl<Inner, Refuse: Clone> Layer<Inner> for AuthLayer<Refuse> {
    type Service = AuthInterceptor<Inner, Refuse>;

    fn layer(&self, inner: Inner) -> Self::Service {
        AuthInterceptor { inner, authenticator: Arc::clone(&self.authenticator), refuse: self.refuse.clone() }
    }
}

/// The service that the layer makes.
#[derive(Debug, Clone)]
pub struct AuthInterceptor<Inner, Refuse> {
    inner: Inner,
    authenticator: Arc<Authenticator>,
    refuse: Refuse,
}

type Answer<Body, Failure> = Result<Response<Body>, Failure>;

impl<Inner, RequestBody, Body, Refuse> Service<Request<RequestBody>> for AuthInterceptor<Inner, Refuse>
where
    Inner: Service<Request<RequestBody>, Response = Response<Body>> + Clone + Send + 'static,
    Inner::Future: Send,
    Inner::Error: Send,
    RequestBody: Send + 'static,
    Body: Send + 'static,
    Refuse: Fn(Error) -> Response<Body> + Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Either<
        Either<Inner::Future, Ready<Answer<Body, Inner::Error>>>,
        BoxFuture<'static, Answer<Body, Inner::Error>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        // Nobody but this layer may say who is calling.
        request.extensions_mut().remove::<Principal>();
        match admit(&self.authenticator, request.uri().path(), request.headers()) {
            Admission::Now(Ok(principal)) => {
                if let Some(principal) = principal {
                    request.extensions_mut().insert(principal);
                }
                Either::Left(Either::Left(self.inner.call(request)))
            }
            Admission::Now(Err(error)) => Either::Left(Either::Right(ready(Ok((self.refuse)(error))))),
            Admission::Later(verifying) => {
                // The service that was asked whether it is ready is the one to be called.
                let successor = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, successor);
                let refuse = self.refuse.clone();
                let answer = async move {
                    match verifying.await {
                        Ok(principal) => {
                            request.extensions_mut().insert(principal);
                            inner.call(request).await
                        }
                        Err(error) => Ok(refuse(error)),
                    }
                };
                Either::Right(answer.boxed())
            }
        }
    }
}

enum Admission {
    Now(Result<Option<Principal>>),
    Later(BoxFuture<'static, Result<Principal>>),
}

/// Who is calling, if the method is open to them.
fn admit(authenticator: &Arc<Authenticator>, path: &str, headers: &HeaderMap) -> Admission {
    let access = match Method::of(path).access().ok_or(Error::MethodUnknown) {
        Ok(access) => access,
        Err(error) => return Admission::Now(Err(error)),
    };
    if access == Access::Anyone {
        // A stale token does not keep anyone from logging in, and nothing is looked up for somebody unknown.
        let principal = bearer(headers).and_then(|token| authenticator.authenticate_session(token));
        return Admission::Now(Ok(principal.ok()));
    }
    let verdict = match bearer(headers) {
        Ok(token) => authenticator.authenticate(token),
        Err(error) => return Admission::Now(Err(error)),
    };
    match verdict {
        Verdict::Now(verified) => {
            let permitted = verified.and_then(|principal| permit(access, principal));
            Admission::Now(permitted.map(Some))
        }
        Verdict::Later(verifying) => {
            Admission::Later(async move { permit(access, verifying.await?) }.boxed())
        }
    }
}

/// The caller, if they may call it.
fn permit(access: Access, principal: Principal) -> Result<Principal> {
    match access {
        Access::UserOrKey(scope) => principal.reaches(Some(scope))?,
        Access::Key(scope) => principal.key_with(scope).map(drop)?,
        Access::Anyone | Access::User | Access::Admin => principal.reaches(None)?,
    }
    if access == Access::Admin && principal.role != Role::Admin {
        return Err(Error::AdminRequired);
    }
    Ok(principal)
}

/// The token of the one `authorization: Bearer …` there may be.
fn bearer(headers: &HeaderMap) -> Result<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Error::TokenMissing)?;
    if values.next().is_some() {
        return Err(Error::TokenInvalid);
    }
    let value = value.to_str().map_err(|_| Error::TokenInvalid)?;
    let (scheme, token) = value.split_once(' ').ok_or(Error::TokenInvalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(Error::TokenInvalid);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_of_a_token_is_heard() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, http::HeaderValue::from_static(value));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc"), Ok("abc".to_owned()));
        assert_eq!(of("bEARER abc"), Ok("abc".to_owned()));
        for wrong in ["Basic abc", "Bearer ", "Bearer", "abc", " abc"] {
            assert_eq!(of(wrong), Err(Error::TokenInvalid), "{wrong:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), Err(Error::TokenMissing));
    }
}
