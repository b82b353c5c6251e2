//! Making secrets, and comparing them.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::domain::{Error, Result};

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::Internal("no random numbers could be had".into()))?;
    Ok(bytes)
}

/// Compares hashes in a time that says nothing about where they differ.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    verify_slices_are_equal(left, right).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_like_another() {
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
    }
}
