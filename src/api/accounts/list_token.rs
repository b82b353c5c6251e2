//! Page tokens of lists that are ordered by id: opaque, signed, bound to the caller and the list.
//!
//! Layout: version (1 byte), binding (16), id (16), tag (16). As in `page_token.rs`, the tag is an HMAC over all before
//! it, with a key that lies in the database.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::auth::Principal;
use crate::domain::{Clock, Error, InvalidReason, Result, Rule};
use crate::storage::Storage;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
const TOKEN_BYTES: usize = 1 + 16 + 16 + TAG_BYTES;

/// Makes and reads these tokens.
#[derive(Debug)]
pub(in crate::api) struct ListTokens {
    storage: Storage,
    clock: Clock,
    key: OnceCell<hmac::Key>,
}

/// A list: its method and everything that must be the same on each of its pages.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct List<'a> {
    pub(in crate::api) method: &'a str,
    pub(in crate::api) of: &'a str,
}

impl ListTokens {
    /// Tokens whose key lies in this storage; it is fetched when it is first needed.
    pub(in crate::api) const fn new(storage: Storage, clock: Clock) -> Self {
        Self { storage, clock, key: OnceCell::const_new() }
    }

    /// The token that leads to what comes after this id.
    pub(in crate::api) async fn make(
        &self,
        caller: &Principal,
        list: List<'_>,
        last: Uuid,
    ) -> Result<String> {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&binding(caller, list));
        bytes.extend_from_slice(last.as_bytes());
        let tag = hmac::sign(self.key().await?, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG_BYTES]);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The id that a token leads on from; `None` without a token.
    pub(in crate::api) async fn read(
        &self,
        caller: &Principal,
        list: List<'_>,
        token: &str,
    ) -> Result<Option<Uuid>> {
        if token.is_empty() {
            return Ok(None);
        }
        let refused = |reason, text| Error::invalid(Rule::of(reason, text).at("page_token"));
        let invalid = || refused(InvalidReason::PageToken, "must be a token as it was answered, unaltered");
        // Before decoding: a token of a megabyte is not worth it.
        if token.len() != (TOKEN_BYTES * 4).div_ceil(3) {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or_else(invalid)?;
        let expected = hmac::sign(self.key().await?, signed);
        verify_slices_are_equal(&expected.as_ref()[..TAG_BYTES], tag).map_err(|_| invalid())?;
        let ([VERSION], rest) = signed.split_first_chunk::<1>().ok_or_else(invalid)? else {
            return Err(invalid());
        };
        let (bound_to, id) = rest.split_first_chunk::<16>().ok_or_else(invalid)?;
        if *bound_to != binding(caller, list) {
            let text = "must come from a list with the same caller, parent and filter";
            return Err(refused(InvalidReason::PageTokenMismatch, text));
        }
        Uuid::from_slice(id).map(Some).map_err(|_| invalid())
    }

    async fn key(&self) -> Result<&hmac::Key> {
        self.key
            .get_or_try_init(|| async {
                let mut candidate = vec![0; 32];
                aws_lc_rs::rand::fill(&mut candidate)
                    .map_err(|_| Error::Internal("no random numbers could be had".into()))?;
                let secrets = self.storage.secrets();
                let key = secrets.find_or_create("list_token", candidate, self.clock.now()).await?;
                Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
            })
            .await
    }
}

fn binding(caller: &Principal, list: List<'_>) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    context.update(caller.user.as_bytes());
    for text in [list.method, list.of] {
        // The length keeps the end of one text from being the beginning of the next.
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
    }
    let mut binding = [0; 16];
    binding.copy_from_slice(&context.finish().as_ref()[..16]);
    binding
}
