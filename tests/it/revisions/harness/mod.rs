//! What these tests stand on: servers, a database server of one's own, a bad network, and reproducible chance.

pub(crate) mod address;
pub(crate) mod cluster;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod replica;
