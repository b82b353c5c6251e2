//! Ids that are the same each time a file is read.

use uuid::Uuid;

/// What the ids of other products are numbered below, fixed for ever: with another one, a file that was imported before would be
/// imported a second time.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f2d_8a5e_4c10_4b1f_9e07_7461_736b_7769);

/// What an id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Task,
    List,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::List => "list",
        }
    }

    const fn collection(self) -> &'static str {
        match self {
            Self::Task => "tasks",
            Self::List => "taskLists",
        }
    }
}

/// The id of something that another product knows by its own id.
pub(super) fn derived(product: &str, kind: Kind, id: &str) -> Uuid {
    // No part of it holds the character between them, but the last one.
    Uuid::new_v5(&NAMESPACE, format!("{product}\0{}\0{id}", kind.word()).as_bytes())
}

/// An id that is one already is taken as it is.
pub(super) fn taken_or_derived(product: &str, kind: Kind, id: &str) -> Uuid {
    uuid(id).unwrap_or_else(|| derived(product, kind, id))
}

/// A UUID in the hyphenated form of 36 characters; no other form names anything here.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// The name under which an item is imported.
pub(super) fn name(kind: Kind, id: Uuid) -> String {
    format!("users/me/{}/{id}", kind.collection())
}

/// The last part of a name.
pub(super) fn id_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}
