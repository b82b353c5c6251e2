//! What kinds of methods there are, as far as waiting and lasting go.

use crate::auth::POLICY;

/// How a call stands to others when there is more work than room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Goes in at any time: an overloaded service must be seen to be alive, and these cost next to nothing.
    Always,
    /// Somebody waits for one thing.
    Interactive,
    /// Many things at once; goes in when nobody waits for one.
    Batch,
}

const BATCH: [&str; 8] = [
    "/taskwire.v1.TaskService/ListTasks",
    "/taskwire.v1.TaskService/CountTasks",
    "/taskwire.v1.TaskService/BatchGetTasks",
    "/taskwire.v1.TaskService/BatchCreateTasks",
    "/taskwire.v1.TaskService/BatchUpdateTasks",
    "/taskwire.v1.TaskService/BatchDeleteTasks",
    "/taskwire.v1.TaskService/ListTaskChanges",
    "/taskwire.v1.TaskService/UndoChanges",
];

const STREAMS: [&str; 4] = [
    "/taskwire.v1.TaskService/WatchTasks",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// A method by its place in the policy table, or one that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method(usize);

impl Method {
    /// The method at this path. Only known names: a path is the caller's to choose.
    pub(super) fn of(path: &str) -> Self {
        Self(POLICY.iter().position(|(known, _)| *known == path).unwrap_or(POLICY.len()))
    }

    /// Every method, by number; the last one stands for all that do not exist.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..=POLICY.len()).map(Self)
    }

    pub(super) const fn number(self) -> usize {
        self.0
    }

    /// Its path.
    pub(super) fn path(self) -> Option<&'static str> {
        POLICY.get(self.0).map(|(path, _)| *path)
    }

    /// Its name in metrics and traces, as OpenTelemetry wants it.
    pub(super) fn label(self) -> &'static str {
        self.path().map_or("_OTHER", |path| path.trim_start_matches('/'))
    }
}

/// The class of the method at this path.
pub(super) fn class(path: &str) -> Class {
    if path.starts_with("/grpc.") {
        Class::Always
    } else if BATCH.contains(&path) {
        Class::Batch
    } else {
        Class::Interactive
    }
}

/// Whether the method answers with a stream, which lasts as long as somebody listens.
pub(super) fn is_stream(path: &str) -> bool {
    STREAMS.contains(&path)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::{BATCH, Class, STREAMS, class, is_stream};
    use crate::auth::access;

    #[test]
    fn every_name_is_a_method() {
        for path in BATCH.iter().chain(&STREAMS) {
            assert!(access(path).is_some(), "{path}");
        }
    }

    #[test]
    fn streams_are_what_the_contract_says() {
        let set = prost_types::FileDescriptorSet::decode(crate::pb::DESCRIPTOR_SET).unwrap();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    assert_eq!(is_stream(&path), method.server_streaming(), "{path}");
                }
            }
        }
    }

    #[test]
    fn health_goes_before_everything() {
        assert_eq!(class("/grpc.health.v1.Health/Check"), Class::Always);
        assert_eq!(class("/taskwire.v1.TaskService/GetTask"), Class::Interactive);
        assert_eq!(class("/taskwire.v1.TaskService/ListTasks"), Class::Batch);
    }
}
