//! Who gets in: every method that needs a token, against every way of not having one.

mod cache;
mod claims;
mod forge;
mod forged;
mod headers;
pub(crate) mod served;
mod smuggling;
mod times;

use std::collections::{BTreeMap, BTreeSet};

use taskwire::methods::{Access, METHODS};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use forge::Forge;
use served::{Served, run};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Accepted,
    Missing,
    Invalid,
    Expired,
    InvalidKey,
}
use Verdict::{Accepted, Expired, Invalid, InvalidKey, Missing};

/// A method that only looks at its arguments, as far as an empty message gets.
const PROBE: &str = "/taskwire.v1.TaskService/GetTask";

/// The methods that need a token. Logging out would end the session that the next call needs.
fn guarded() -> impl Iterator<Item = &'static str> {
    METHODS
        .iter()
        .filter(|method| method.access != Access::Anyone)
        .map(|method| method.path)
        .filter(|path| !path.ends_with("/Logout"))
}

/// Reads the answer of a guarded method. Whoever is refused learns the reason and nothing else.
fn verdict(what: &str, answer: &Result<(), Status>) -> Verdict {
    let Err(status) = answer else { return Accepted };
    assert_ne!(status.code(), Code::Internal, "{what}: {status:?}");
    assert_ne!(status.code(), Code::Unknown, "{what}: {status:?}");
    if status.code() != Code::Unauthenticated {
        return Accepted;
    }
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{what}: {status:?} says no reason"));
    assert_eq!(info.domain, "taskwire", "{what}");
    assert!(info.metadata.is_empty(), "{what}: {info:?}");
    match info.reason.as_str() {
        "TOKEN_MISSING" => Missing,
        "TOKEN_INVALID" => Invalid,
        "TOKEN_EXPIRED" => Expired,
        "API_KEY_INVALID" => InvalidKey,
        other => panic!("{what}: {other}"),
    }
}

/// Sends each `authorization` to each guarded method and compares what becomes of it.
async fn assert_headers(served: &Served, cases: &[(&str, Vec<Vec<u8>>, Verdict)]) {
    let mut texts: BTreeMap<Verdict, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, headers, wanted) in cases {
        for path in guarded() {
            let headers = headers.iter().map(|value| ("authorization", value.as_slice()));
            let answer = served.call(path, headers).await;
            let found = verdict(&format!("{name} at {path}"), &answer);
            if found != *wanted {
                wrong.push(format!("{name} at {path}: {found:?} instead of {wanted:?}"));
            }
            if let (Err(status), false) = (answer, found == Accepted) {
                texts.entry(found).or_default().insert(status.message().to_owned());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (verdict, texts) in texts {
        assert_eq!(texts.len(), 1, "{verdict:?} is told apart: {texts:?}");
    }
}

/// Makes tokens for a server and sees what becomes of each.
fn hold(cases: impl FnOnce(&Forge) -> Vec<(&'static str, String, Verdict)>) {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        assert_tokens(&served, cases(&forge)).await;
    });
}

/// As `assert_headers`, for whole bearer tokens.
async fn assert_tokens(served: &Served, cases: Vec<(&str, String, Verdict)>) {
    let names: BTreeSet<&str> = cases.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names.len(), cases.len(), "two cases share a name");
    let cases: Vec<_> = cases
        .into_iter()
        .map(|(name, token, verdict)| (name, vec![format!("Bearer {token}").into_bytes()], verdict))
        .collect();
    assert_headers(served, &cases).await;
}
