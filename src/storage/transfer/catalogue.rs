//! Which tables are carried from one database to another and into backups, which are not and why, and how their columns look
//! on either engine. A table that is new has its line here; a test asks for it.

use std::collections::BTreeMap;

use super::TransferError;

/// When a table is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    Always,
    /// Keys of the service: from database to database, and into a backup when they are asked for.
    AsKeys,
    /// Of use only with these keys: from database to database, and into no backup.
    WithKeys,
}

/// A table that is carried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) name: &'static str,
    pub(super) carried: Carried,
    /// Columns whose texts are JSON, which only PostgreSQL knows by itself.
    json: &'static [&'static str],
    /// Columns that mean something in one database alone.
    left_out: &'static [&'static str],
    /// Whether a new database has a row of it already.
    pub(super) is_seeded: bool,
}

const fn table(name: &'static str) -> Listed {
    Listed { name, carried: Carried::Always, json: &[], left_out: &[], is_seeded: false }
}

/// In this order. Users come first, as some others refer to them.
pub(super) const TABLES: [Listed; 24] = [
    table("users"),
    table("emails"),
    table("identities"),
    table("sessions"),
    table("api_keys"),
    table("second_factors"),
    table("recovery_codes"),
    table("login_challenges"),
    // What waits to be sent expires soon, wherever it is.
    table("mails"),
    table("mail_tokens"),
    table("task_lists"),
    Listed { json: &["labels", "details"], ..table("tasks") },
    table("task_changes"),
    table("requests"),
    table("audit_events"),
    // The number is of a transaction of its database, where it is given anew.
    Listed { left_out: &["number"], ..table("revocations") },
    table("webhooks"),
    table("webhook_queues"),
    table("event_listeners"),
    Listed { is_seeded: true, ..table("event_head") },
    table("outbox"),
    table("events"),
    Listed { carried: Carried::AsKeys, is_seeded: true, ..table("service_secrets") },
    Listed { carried: Carried::WithKeys, ..table("login_throttles") },
];

/// Tables that are never carried, and why.
pub(super) const NOT_CARRIED: [(&str, &str); 3] = [
    ("database_state", "which history the data has and where it was seen: each database has its own"),
    ("job_leases", "who does a job now"),
    ("guards", "rows to be locked, which every database has"),
];

/// The table of a target that says of what it is an unfinished copy. It goes with the end of the copy.
pub(super) const COPY_TABLE: &str = "taskwire_copy";

/// What the migrations note.
pub(super) const MIGRATIONS: &str = "__diesel_schema_migrations";

/// What a value is, whichever the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Integers, times and truth values.
    Integer,
    /// Texts, and JSON.
    Text,
    /// Bytes, and UUIDs.
    Bytes,
}

impl Class {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }
}

/// How PostgreSQL has a column; `Sqlite` where the database is a SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Native {
    Sqlite,
    Bool,
    Small,
    Integer,
    Big,
    Time,
    Uuid,
    Bytes,
    Text,
    Json,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub class: Class,
    /// Whether it belongs to the key.
    pub is_key: bool,
}

/// A table as a database has it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) listed: Listed,
    /// Those of the key first, in its order, and the others by name.
    pub(super) columns: Vec<Column>,
    pub(super) natives: Vec<Native>,
    /// Places of columns that are JSON.
    pub(super) json: Vec<usize>,
}

impl Table {
    pub(super) const fn name(&self) -> &'static str {
        self.listed.name
    }

    /// How many columns the key has.
    pub(super) fn keys(&self) -> usize {
        self.columns.iter().filter(|column| column.is_key).count()
    }

    /// The names of all columns, as in a statement.
    pub(super) fn names(&self) -> String {
        self.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// The order of the key, which is the same on both engines: that of the bytes.
    pub(super) fn order(&self) -> String {
        let keys = self.columns.iter().zip(&self.natives).filter(|(column, _)| column.is_key);
        let keys = keys.map(|(column, native)| match native {
            Native::Text => format!("{} collate \"C\"", quoted(&column.name)),
            _ => quoted(&column.name),
        });
        keys.collect::<Vec<_>>().join(", ")
    }
}

/// `type` is a word of SQL as well.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// A column as a database's own catalogue tells of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) table: String,
    pub(super) column: String,
    /// As the engine calls its type.
    pub(super) kind: String,
    /// Its place in the key; below zero where it has none.
    pub(super) key: i64,
}

/// Makes the tables out of what the catalogue tells.
///
/// # Errors
/// `NoSchema` where there are none of ours, `Unknown` for a table or a type that is not known here.
pub(super) fn tables(found: Vec<Found>, is_sqlite: bool) -> Result<Vec<Table>, TransferError> {
    let mut all: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for column in found {
        all.entry(column.table.clone()).or_default().push(column);
    }
    all.remove(MIGRATIONS);
    all.remove(COPY_TABLE);
    if !all.contains_key("users") {
        return Err(TransferError::NoSchema);
    }
    let mut tables = Vec::new();
    for listed in TABLES {
        // One that an older schema does not have yet.
        let Some(columns) = all.remove(listed.name) else { continue };
        tables.push(describe(listed, columns, is_sqlite)?);
    }
    all.retain(|name, _| NOT_CARRIED.iter().all(|(known, _)| known != name));
    match all.into_keys().next() {
        Some(name) => Err(TransferError::Unknown(format!("the table {name}"))),
        None => Ok(tables),
    }
}

fn describe(listed: Listed, mut columns: Vec<Found>, is_sqlite: bool) -> Result<Table, TransferError> {
    columns.retain(|column| !listed.left_out.contains(&column.column.as_str()));
    columns.sort_by(|one, other| {
        let place = |column: &Found| if column.key < 0 { i64::MAX } else { column.key };
        (place(one), &one.column).cmp(&(place(other), &other.column))
    });
    let mut table = Table { listed, columns: Vec::new(), natives: Vec::new(), json: Vec::new() };
    for found in columns {
        let is_json = listed.json.contains(&found.column.as_str());
        let kind = if is_sqlite { of_sqlite(&found.kind) } else { of_postgres(&found.kind) };
        let (class, native) = kind.ok_or_else(|| {
            TransferError::Unknown(format!("the type {} of {}.{}", found.kind, found.table, found.column))
        })?;
        if is_json || native == Native::Json {
            table.json.push(table.columns.len());
        }
        table.columns.push(Column { name: found.column, class, is_key: found.key >= 0 });
        table.natives.push(native);
    }
    Ok(table)
}

fn of_sqlite(kind: &str) -> Option<(Class, Native)> {
    let class = match kind {
        "integer" | "boolean" => Class::Integer,
        "text" => Class::Text,
        "blob" => Class::Bytes,
        _ => return None,
    };
    Some((class, Native::Sqlite))
}

fn of_postgres(kind: &str) -> Option<(Class, Native)> {
    Some(match kind {
        "boolean" => (Class::Integer, Native::Bool),
        "smallint" => (Class::Integer, Native::Small),
        "integer" => (Class::Integer, Native::Integer),
        "bigint" => (Class::Integer, Native::Big),
        "timestamp with time zone" => (Class::Integer, Native::Time),
        "uuid" => (Class::Bytes, Native::Uuid),
        "bytea" => (Class::Bytes, Native::Bytes),
        "text" => (Class::Text, Native::Text),
        "jsonb" => (Class::Text, Native::Json),
        _ => return None,
    })
}
