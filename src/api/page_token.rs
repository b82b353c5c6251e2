//! Page tokens: opaque, signed, and bound to the caller and the list they were made for.
//!
//! Layout: version (1 byte), binding (16), place in the list, tag (16). The tag is an HMAC over all before it, checked
//! before anything is decoded; its key lies in the database, so that all replicas share it and a restart does not cut off
//! a list in the middle.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::OnceCell;

use crate::auth::Principal;
use crate::domain::{Clock, Error, InvalidReason, Result, Rule};
use crate::storage::Storage;

const VERSION: u8 = 1;
const BINDING_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// The place in a list may hold a folded title of 200 code points, which fits many times.
const TOKEN_CHARACTERS_MAX: usize = 8 * 1024;

/// Makes and reads page tokens.
#[derive(Debug)]
pub(super) struct PageTokens {
    storage: Storage,
    clock: Clock,
    /// The name under which the key lies in the storage.
    secret: &'static str,
    key: OnceCell<hmac::Key>,
}

/// A list: its caller and whatever else must be the same on each of its pages. The page size may change.
pub(super) struct List {
    bound_to: Context,
    rule: &'static str,
}

impl List {
    /// The caller's; `rule` is what a token from elsewhere is refused with.
    pub(super) fn of(caller: &Principal, rule: &'static str) -> Self {
        let mut bound_to = Context::new(&SHA256);
        bound_to.update(caller.user.as_bytes());
        Self { bound_to, rule }
    }

    /// Bound to these bytes as well, which are always as many.
    pub(super) fn with_bytes(mut self, bytes: &[u8]) -> Self {
        self.bound_to.update(bytes);
        self
    }

    /// Bound to this text as well.
    pub(super) fn with_text(mut self, text: &str) -> Self {
        // The length keeps the end of one text from being the beginning of the next.
        self.bound_to.update(&text.len().to_le_bytes());
        self.bound_to.update(text.as_bytes());
        self
    }

    fn binding(&self) -> [u8; BINDING_BYTES] {
        let mut binding = [0; BINDING_BYTES];
        binding.copy_from_slice(&self.bound_to.clone().finish().as_ref()[..BINDING_BYTES]);
        binding
    }
}

impl PageTokens {
    /// Tokens whose key lies in this storage; it is fetched when it is first needed.
    pub(super) const fn new(storage: Storage, clock: Clock, secret: &'static str) -> Self {
        Self { storage, clock, secret, key: OnceCell::const_new() }
    }

    /// The token that leads from this place of the list to the next page.
    pub(super) async fn seal(&self, list: &List, place: &[u8]) -> Result<String> {
        let mut bytes = Vec::with_capacity(1 + BINDING_BYTES + place.len() + TAG_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&list.binding());
        bytes.extend_from_slice(place);
        let tag = hmac::sign(self.key().await?, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG_BYTES]);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The place that a token leads on from, as `decode` reads it; `None` without a token.
    pub(super) async fn open<T>(
        &self,
        list: &List,
        token: &str,
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        if token.is_empty() {
            return Ok(None);
        }
        let refused = |reason, text| Error::invalid(Rule::of(reason, text).at("page_token"));
        let invalid = || refused(InvalidReason::PageToken, "must be a token as it was answered, unaltered");
        // Before decoding: a token of a megabyte is not worth it.
        if token.len() > TOKEN_CHARACTERS_MAX {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or_else(invalid)?;
        let expected = hmac::sign(self.key().await?, signed);
        verify_slices_are_equal(&expected.as_ref()[..TAG_BYTES], tag).map_err(|_| invalid())?;
        let ([VERSION], rest) = signed.split_first_chunk::<1>().ok_or_else(invalid)? else {
            return Err(invalid());
        };
        let (bound_to, place) = rest.split_first_chunk::<BINDING_BYTES>().ok_or_else(invalid)?;
        if *bound_to != list.binding() {
            return Err(refused(InvalidReason::PageTokenMismatch, list.rule));
        }
        decode(place).ok_or_else(invalid).map(Some)
    }

    async fn key(&self) -> Result<&hmac::Key> {
        self.key
            .get_or_try_init(|| async {
                let mut candidate = vec![0; 32];
                aws_lc_rs::rand::fill(&mut candidate)
                    .map_err(|_| Error::Internal("no random numbers could be had".into()))?;
                let secrets = self.storage.secrets();
                let key = secrets.find_or_create(self.secret, candidate, self.clock.now()).await?;
                Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
            })
            .await
    }
}
