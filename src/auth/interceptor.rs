//! The auth interceptor: bearer metadata → `Principal` in the request's extensions, before any handler.
//!
//! A tower layer rather than a tonic interceptor, because it needs the method's path. It fails closed: a method
//! without an entry in the policy table is refused, and so is a call without a valid token where one is needed.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

use super::{Access, Principal, Tokens, access};
use crate::domain::{Error, Result};

/// Wraps every service of the process.
#[derive(Debug, Clone)]
pub struct AuthLayer<Refuse> {
    tokens: Arc<Tokens>,
    refuse: Refuse,
}

impl<Refuse> AuthLayer<Refuse> {
    /// Verifies with `tokens`; `refuse` says how an error looks on the wire.
    pub const fn new(tokens: Arc<Tokens>, refuse: Refuse) -> Self {
        Self { tokens, refuse }
    }
}

impl<Inner, Refuse: Clone> Layer<Inner> for AuthLayer<Refuse> {
    type Service = AuthInterceptor<Inner, Refuse>;

    fn layer(&self, inner: Inner) -> Self::Service {
        AuthInterceptor { inner, tokens: Arc::clone(&self.tokens), refuse: self.refuse.clone() }
    }
}

/// The service that the layer makes.
#[derive(Debug, Clone)]
pub struct AuthInterceptor<Inner, Refuse> {
    inner: Inner,
    tokens: Arc<Tokens>,
    refuse: Refuse,
}

impl<Inner, RequestBody, Body, Refuse> Service<Request<RequestBody>> for AuthInterceptor<Inner, Refuse>
where
    Inner: Service<Request<RequestBody>, Response = Response<Body>>,
    Refuse: Fn(Error) -> Response<Body>,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Either<Inner::Future, Ready<Result<Response<Body>, Inner::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        // Nobody but this layer may say who is calling.
        request.extensions_mut().remove::<Principal>();
        match admit(&self.tokens, request.uri().path(), request.headers()) {
            Ok(principal) => {
                if let Some(principal) = principal {
                    request.extensions_mut().insert(principal);
                }
                Either::Left(self.inner.call(request))
            }
            Err(error) => Either::Right(ready(Ok((self.refuse)(error)))),
        }
    }
}

/// Who is calling, if the policy lets them.
fn admit(tokens: &Tokens, path: &str, headers: &HeaderMap) -> Result<Option<Principal>> {
    match access(path).ok_or(Error::MethodUnknown)? {
        // A stale token does not keep anyone from logging in.
        Access::Anyone => Ok(bearer(headers).and_then(|token| tokens.verify(token)).ok()),
        Access::User => tokens.verify(bearer(headers)?).map(Some),
    }
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
