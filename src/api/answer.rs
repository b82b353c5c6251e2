//! How large an answer may be: what gRPC clients take by default is 4 MiB, and there is no use in one that nobody reads.

use prost::Message;

use crate::domain::{Error, Result};

/// Most bytes of an answer. Some room is left for whatever stands between.
pub const BYTES_MAX: usize = 3_670_016;

/// So many tasks, or changes of tasks, fit into an answer whatever they hold; there is no need to look at fewer.
pub const ALWAYS_FIT: usize = 100;

/// Tag and length of an item in a list.
const ITEM_OVERHEAD: usize = 5;

/// How many of these, from the first on, fit into one answer; at least one.
pub(super) fn fitting<M: Message>(items: &[M]) -> usize {
    if items.len() <= ALWAYS_FIT {
        return items.len();
    }
    let mut left = BYTES_MAX;
    let fits = |item: &&M| match left.checked_sub(item.encoded_len() + ITEM_OVERHEAD) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    items.iter().take_while(fits).count().max(1)
}

/// Passes for an answer that clients take.
///
/// # Errors
/// `AnswerTooLarge`, with what to do about it.
pub(super) fn check<M: Message>(answer: &M, advice: &'static str) -> Result<()> {
    if answer.encoded_len() > BYTES_MAX { Err(Error::AnswerTooLarge { advice }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_fit_as_there_is_room_for() {
        // With its own tag and length each is a thousand bytes, and as an item five more.
        let item = "x".repeat(997);
        assert_eq!(item.encoded_len(), 1000);
        let fitting_of = |count: usize| fitting(&vec![item.clone(); count]);
        assert_eq!(fitting_of(ALWAYS_FIT), ALWAYS_FIT);
        assert_eq!(fitting_of(5000), BYTES_MAX / 1005);
        // At least one, whatever it is.
        let huge = vec!["x".repeat(BYTES_MAX); ALWAYS_FIT + 1];
        assert_eq!(fitting(&huge), 1);
    }

    #[test]
    fn an_answer_may_be_as_large_as_that() {
        let overhead = "x".repeat(BYTES_MAX - 100).encoded_len() - (BYTES_MAX - 100);
        assert_eq!(check(&"x".repeat(BYTES_MAX - overhead), ""), Ok(()));
        assert!(check(&"x".repeat(BYTES_MAX - overhead + 1), "").is_err());
    }
}
