//! Page tokens: opaque, signed, and bound to the caller and the list they were made for.
//!
//! Layout: version (1 byte), binding (16), id (16), one value per key of the order, tag (16). The tag is an HMAC
//! over all before it, checked before anything is decoded; its key lies in the database, so that all replicas
//! share it and a restart does not cut off a list in the middle.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::OnceCell;

use crate::auth::Principal;
use crate::domain::{
    Clock, Cursor, Error, InvalidReason, Owner, Priority, Result, Rule, SortValue, TaskId, TaskOrder,
    Timestamp,
};
use crate::pb::ListTasksRequest;
use crate::storage::Storage;

const VERSION: u8 = 1;
const BINDING_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// A folded title of 200 code points fits many times.
const TOKEN_CHARACTERS_MAX: usize = 8 * 1024;

/// Makes and reads page tokens.
#[derive(Debug)]
pub struct PageTokens {
    storage: Storage,
    clock: Clock,
    key: OnceCell<hmac::Key>,
}

impl PageTokens {
    /// Tokens whose key lies in this storage; it is fetched when it is first needed.
    pub fn new(storage: Storage, clock: Clock) -> Self {
        Self { storage, clock, key: OnceCell::new() }
    }

    async fn key(&self) -> Result<&hmac::Key> {
        self.key
            .get_or_try_init(|| async {
                let mut candidate = vec![0; 32];
                aws_lc_rs::rand::fill(&mut candidate)
                    .map_err(|_| Error::Internal("no random numbers could be had".into()))?;
                let key =
                    self.storage.secrets().find_or_create("page_token", candidate, self.clock.now()).await?;
                Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
            })
            .await
    }

    /// The token that leads from this place of the list to the next page.
    pub(in crate::api) async fn make(
        &self,
        caller: &Principal,
        owner: Owner,
        request: &ListTasksRequest,
        cursor: &Cursor,
    ) -> Result<String> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&binding(caller, owner, request));
        bytes.extend_from_slice(cursor.id.as_bytes());
        for value in &cursor.values {
            encode(&mut bytes, value);
        }
        let tag = hmac::sign(self.key().await?, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG_BYTES]);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The place that the token of this request leads to; `None` without a token.
    pub(in crate::api) async fn read(
        &self,
        caller: &Principal,
        owner: Owner,
        request: &ListTasksRequest,
        order: &TaskOrder,
    ) -> Result<Option<Cursor>> {
        if request.page_token.is_empty() {
            return Ok(None);
        }
        let refused = |reason, text| Error::invalid(Rule::of(reason, text).at("page_token"));
        let invalid = || refused(InvalidReason::PageToken, "must be a token as it was answered, unaltered");
        if request.page_token.len() > TOKEN_CHARACTERS_MAX {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(&request.page_token).map_err(|_| invalid())?;
        let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or_else(invalid)?;
        let expected = hmac::sign(self.key().await?, signed);
        verify_slices_are_equal(&expected.as_ref()[..TAG_BYTES], tag).map_err(|_| invalid())?;

        let ([VERSION], rest) = signed.split_first_chunk::<1>().ok_or_else(invalid)? else {
            return Err(invalid());
        };
        let (bound_to, rest) = rest.split_first_chunk::<BINDING_BYTES>().ok_or_else(invalid)?;
        if *bound_to != binding(caller, owner, request) {
            return Err(refused(
                InvalidReason::PageTokenMismatch,
                "must come from a list with the same caller, parent, filter, order_by and show_deleted",
            ));
        }
        decode(rest, order).ok_or_else(invalid).map(Some)
    }
}

/// What must be the same on every page. The page size may change.
fn binding(caller: &Principal, owner: Owner, request: &ListTasksRequest) -> [u8; BINDING_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(caller.user.as_bytes());
    context.update(owner.user().as_bytes());
    context.update(&[u8::from(request.show_deleted)]);
    for text in [&request.filter, &request.order_by] {
        // The length keeps the end of one text from being the beginning of the next.
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
    }
    let mut binding = [0; BINDING_BYTES];
    binding.copy_from_slice(&context.finish().as_ref()[..BINDING_BYTES]);
    binding
}

fn encode(bytes: &mut Vec<u8>, value: &SortValue) {
    match value {
        SortValue::Time(None) => bytes.push(0),
        SortValue::Time(Some(time)) => {
            bytes.push(1);
            bytes.extend_from_slice(&time.as_micros().to_be_bytes());
        }
        SortValue::Priority(priority) => {
            bytes.push(2);
            bytes.extend_from_slice(&priority.code().to_be_bytes());
        }
        SortValue::Text(text) => {
            bytes.push(3);
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
}

fn decode(bytes: &[u8], order: &TaskOrder) -> Option<Cursor> {
    let (id, mut rest) = bytes.split_first_chunk::<16>()?;
    let mut values = Vec::with_capacity(order.keys().len());
    for _ in order.keys() {
        let (value, after) = decode_value(rest)?;
        values.push(value);
        rest = after;
    }
    rest.is_empty().then(|| Cursor { values, id: TaskId::from_bytes(*id) })
}

fn decode_value(bytes: &[u8]) -> Option<(SortValue, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    match kind {
        0 => Some((SortValue::Time(None), rest)),
        1 => {
            let (micros, rest) = rest.split_first_chunk::<8>()?;
            Some((SortValue::Time(Some(Timestamp::from_micros(i64::from_be_bytes(*micros))?)), rest))
        }
        2 => {
            let (code, rest) = rest.split_first_chunk::<2>()?;
            Some((SortValue::Priority(Priority::from_code(i16::from_be_bytes(*code))?), rest))
        }
        3 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            let (text, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
            Some((SortValue::Text(std::str::from_utf8(text).ok()?.to_owned()), rest))
        }
        _ => None,
    }
}
