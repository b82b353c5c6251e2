//! The descriptors of everything that is served.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto};

/// The files of the process: ours, health, reflection.
pub(crate) fn all() -> Vec<FileDescriptorProto> {
    let sets = [
        taskwire::pb::DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap().file).collect()
}

/// The files of `taskwire.v1`.
pub(crate) fn ours() -> Vec<FileDescriptorProto> {
    all().into_iter().filter(|file| file.package() == "taskwire.v1").collect()
}

/// Every method by its path, as in `/taskwire.v1.TaskService/GetTask`.
pub(crate) fn methods() -> BTreeMap<String, MethodDescriptorProto> {
    let mut methods = BTreeMap::new();
    for file in all() {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                methods.insert(path, method.clone());
            }
        }
    }
    methods
}
