//! A cluster of Citus: what is spread over it and how, and what its faults cost. Most of this needs a cluster, which
//! `TASKWIRE_TEST_CITUS_URL` names; without one it is left out, which is said.

mod distribute;
mod faults;
mod node;
