//! Between the socket and HTTP/2: accepting, TLS, the life and the end of a connection.

pub(super) mod address;
pub(super) mod connection;
pub(super) mod handshakes;
pub(super) mod io;
pub(super) mod listener;
pub(super) mod tls;
pub(super) mod unix_socket;
