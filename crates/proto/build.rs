//! Compiles `proto/` into Rust code and into the descriptor set that reflection serves.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

const FILES: [&str; 7] = [
    "taskwire/v1/event_service.proto",
    "taskwire/v1/export.proto",
    "taskwire/v1/task_service.proto",
    "taskwire/v1/user_service.proto",
    // No file imports these: errors carry their messages inside `Any`. With them here, a client can
    // decode those by reflection.
    "google/rpc/code.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
];

/// The one file of this package that becomes code: the others are annotations.
const HTTP_BODY: &str = "google/api/httpbody.proto";

/// The generator takes a space off the continuation lines of lists in the comments of services, and
/// has inner attributes of its own.
const ALLOW: &str = "#[allow(clippy::doc_lazy_continuation, clippy::mixed_attributes_style)]";

/// The messages that carry a password or a token. Their `Debug` is written by hand, without it.
const SECRET: [&str; 18] = [
    ".taskwire.v1.BeginTotpEnrolmentResponse",
    ".taskwire.v1.ChangePasswordRequest",
    ".taskwire.v1.CompleteLoginRequest",
    ".taskwire.v1.ConfirmEmailChangeRequest",
    ".taskwire.v1.ConfirmTotpEnrolmentRequest",
    ".taskwire.v1.ConfirmTotpEnrolmentResponse",
    ".taskwire.v1.CreateApiKeyResponse",
    ".taskwire.v1.CreateUserRequest",
    ".taskwire.v1.CreateWebhookResponse",
    ".taskwire.v1.DeleteUserRequest",
    ".taskwire.v1.ExchangeTokenResponse",
    ".taskwire.v1.LoginRequest",
    ".taskwire.v1.RefreshSessionRequest",
    ".taskwire.v1.RegenerateRecoveryCodesResponse",
    ".taskwire.v1.ResetPasswordRequest",
    ".taskwire.v1.RotateWebhookSecretResponse",
    ".taskwire.v1.TokenPair",
    ".taskwire.v1.VerifyEmailRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new(["../../proto"])?;
    compiler.include_imports(true).open_files(FILES)?;
    // Google's well-known types have no path: they come with the compiler.
    for path in compiler.files().filter_map(|file| file.path()) {
        println!("cargo:rerun-if-changed={}", path.display());
    }

    // The code needs the comments, but neither annotations nor error messages as Rust types.
    let mut code = compiler.include_source_info(true).file_descriptor_set();
    let mut types = code.clone();
    types.file.retain(|file| file.package() == "google.type" || file.name() == HTTP_BODY);
    code.file.retain(|file| ["taskwire.v1", "google.protobuf", "google.type"].contains(&file.package()));
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .codec_path("crate::Codec")
        .extern_path(".google.type", "crate::google_type")
        .extern_path(".google.api", "crate::google_api")
        // One that is empty costs nothing, and the order is the same each time.
        .btree_map(".")
        .client_mod_attribute(".", ALLOW)
        .server_mod_attribute(".", ALLOW)
        .skip_debug(SECRET)
        .compile_fds(code)?;
    tonic_prost_build::configure().compile_fds(types)?;

    // Reflection needs the annotations, which only this method keeps, but not the comments.
    let descriptor = compiler.include_source_info(false).encode_file_descriptor_set();
    let out_dir = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    fs::write(Path::new(&out_dir).join("taskwire_descriptor.bin"), descriptor)?;

    // The OpenAPI document needs both.
    let documented = compiler.include_source_info(true).encode_file_descriptor_set();
    fs::write(Path::new(&out_dir).join("taskwire_documented.bin"), documented)?;
    Ok(())
}
