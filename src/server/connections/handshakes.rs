//! Connections whose peer has not yet spoken. There is room for so many; whoever comes next takes the place of the
//! one that has been silent the longest, so that silent peers cannot keep the others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All of them.
#[derive(Debug)]
pub(in crate::server) struct Handshakes {
    max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    silent: BTreeMap<u64, CancellationToken>,
}

impl Handshakes {
    pub(in crate::server) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), waiting: Mutex::default() })
    }

    /// Takes note of a new connection, which `closing` closes.
    pub(in crate::server) fn begin(self: &Arc<Self>, closing: CancellationToken) -> Handshake {
        let mut waiting = self.waiting();
        if waiting.silent.len() >= self.max
            && let Some((_, oldest)) = waiting.silent.pop_first()
        {
            oldest.cancel();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.silent.insert(number, closing.clone());
        drop(waiting);
        Handshake { all: Arc::clone(self), number, closing }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub(in crate::server) struct Handshake {
    all: Arc<Handshakes>,
    number: u64,
    closing: CancellationToken,
}

impl Handshake {
    /// Ends when the connection has to go.
    pub(in crate::server) fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.waiting().silent.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::Handshakes;

    #[test]
    fn the_longest_silent_gives_way() {
        let all = Handshakes::new(2);
        let tokens: Vec<_> = (0..4).map(|_| CancellationToken::new()).collect();
        let first = all.begin(tokens[0].clone());
        let second = all.begin(tokens[1].clone());
        drop(first);
        let _third = all.begin(tokens[2].clone());
        assert!(tokens.iter().all(|token| !token.is_cancelled()));
        let _fourth = all.begin(tokens[3].clone());
        assert!(tokens[1].is_cancelled() && !tokens[0].is_cancelled());
        drop(second);
        assert_eq!(all.waiting().silent.len(), 2);
    }
}
