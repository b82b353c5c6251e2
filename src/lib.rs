//! Taskwire: tasks and accounts over gRPC, on an embedded SQLite file or on PostgreSQL.
//!
//! A house with few floors and one rule: arrows point inward.
//!
//! ```text
//! server ─► api ─► accounts ─► outbound ─► auth ─► storage ─► domain
//! ```
//!
//! | floor | what it does | what it must not do |
//! |---|---|---|
//! | [`domain`] | the rules: values that cannot be wrong, what a change does | I/O; name tonic, prost or diesel |
//! | [`storage`] | repositories over two engines | name tonic or the generated code |
//! | [`auth`] | who is calling: tokens, keys, issuers | decide what a change does |
//! | [`outbound`] | what leaves the house: events to webhooks, where they may go, how they are signed | name a message |
//! | [`accounts`] | what one can do with an account: register, log in, refresh, manage | name a message |
//! | [`api`] | messages to values and back, errors to statuses | SQL |
//! | [`server`] | everything between the socket and a handler | business rules |
//!
//! [`transfer`] is how a backup looks as a file, and knows none of them.
//! [`interchange`] is how tasks look as files, of this service and of others; it knows the domain and the messages.
//! [`methods`] lists every method once.
//! Around them: [`cli`] and [`config`] say what is wanted, [`commands`] does it, [`openapi`] describes the contract.
//! Beside them, in crates of their own: [`pb`], the generated code, and [`client`], for the other side of the wire.

pub mod accounts;
pub mod api;
pub mod auth;
pub mod cli;
pub mod commands;
pub mod config;
pub mod domain;
pub mod interchange;
pub mod methods;
pub mod openapi;
pub mod outbound;
pub mod server;
pub mod storage;
pub mod telemetry;
pub mod transfer;

pub use taskwire_client as client;
pub use taskwire_proto as pb;
