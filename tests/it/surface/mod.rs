//! What the service shows to the outside, held against the documents that describe it, and the source against the
//! rules that it claims to follow.

mod answers;
mod arrows;
mod circles;
mod contract;
mod crates;
pub(crate) mod descriptors;
mod errors;
mod guides;
mod http2;
mod methods;
mod secrets;
mod source;

use std::path::{Path, PathBuf};

/// The directory of the crate.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with this ending below a directory of the crate, in order.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let mut open = vec![root().join(directory)];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{ending} file below {directory}");
    found
}

/// A path as it is written from the crate's directory.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}
