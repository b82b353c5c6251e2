//! The OpenAPI document of the REST gateway, made from the contract and its comments.
//!
//! A room of its own: it reads the descriptors and the list of methods, and nothing else of the program.

mod comments;
mod examples;
mod limits;
mod operations;
mod schemas;

use prost_reflect::{DescriptorError, DescriptorPool};
use serde_json::{Value, json};

use comments::Comments;
use schemas::Schemas;

/// The descriptor set with its comments. The one that reflection serves has none.
use crate::pb::DOCUMENTED_DESCRIPTOR_SET as DOCUMENTED;

const PACKAGE: &str = "taskwire.v1";

/// Why there is no document: the contract holds something that it cannot express.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The descriptor set cannot be read.
    #[error("the descriptor set cannot be read: {0}")]
    Descriptor(#[from] DescriptorError),
    /// A part of the contract has no counterpart in the document.
    #[error("{0}")]
    Contract(String),
}

/// The document.
///
/// # Errors
/// The contract holds something that the document cannot express.
pub fn document() -> Result<Value, DocumentError> {
    let pool = DescriptorPool::decode(DOCUMENTED)?;
    let comments = Comments::of(&pool);
    let mut schemas = Schemas::new(&comments);
    let paths = operations::paths(&pool, &comments, &mut schemas)?;
    let tags: Vec<Value> = pool
        .services()
        .filter(|service| service.package_name() == PACKAGE)
        .map(|service| {
            let text = comments.of_service(&service);
            json!({ "name": service.name(), "description": text })
        })
        .collect();
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Taskwire",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": DESCRIPTION,
            "license": { "name": "MIT or Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "http://127.0.0.1:8080", "description": "The gateway as `make gateway` starts it" }],
        "security": [{ "bearer": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The access token that `Login` answers, or an API key, which begins with `twk_`.",
                },
            },
            "responses": { "Error": operations::error_response("An error. Decide by `reason`, not by the text.") },
            "schemas": schemas.into_components()?,
        },
    }))
}

const DESCRIPTION: &str = "The gRPC API as JSON over HTTP, by the gateway in `deploy/envoy`. Made by `taskwire openapi` \
    from the `.proto` files.\n\nNames of fields are in camel case; those of the `.proto` files are taken as well. \
    A 64-bit number is a string. A field that holds its default is left out. Unknown fields, repeated fields and \
    unknown query parameters are refused.";
