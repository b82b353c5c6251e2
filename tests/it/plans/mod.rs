//! The plan of every statement of the write and the read path, on tables in whatever state: empty, tiny, bloated, large;
//! with the values known and without. A statement that the table does not name fails.

mod expected;
mod nodes;
mod postgres;
mod sqlite;
mod workload;
