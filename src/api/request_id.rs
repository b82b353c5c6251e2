//! The id of the request that is being served, for whoever has to name it in an answer or a log line.

use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    static CURRENT: Arc<str>;
}

/// Runs `work` as the request with this id.
pub fn scope<F: Future>(id: Arc<str>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(id, work)
}

/// The id of the request that this task serves; `None` outside of one.
pub fn current() -> Option<Arc<str>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// The caller's own id, when it is a sane one: 1 to 64 of `A-Za-z0-9._-`.
pub fn accept(given: &[u8]) -> Option<&str> {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let text = std::str::from_utf8(given).ok()?;
    ((1..=64).contains(&text.len()) && given.iter().all(sane)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_serves_a_request_knows_its_id() {
        assert_eq!(current(), None);
        let id = scope("an-id".into(), async { current() }).await;
        assert_eq!(id.as_deref(), Some("an-id"));
    }
}
