//! `taskwire totp`: setting up a second factor, and taking it away.

use super::Context;
use super::output::Output;
use super::text::visible;
use crate::cli::totp::TotpCommand;
use crate::client::Error;
use crate::commands::{Failure, Outcome};
use crate::pb;

pub(super) async fn run(context: &Context, command: TotpCommand) -> Outcome {
    let Context { client, service, output } = context;
    let refused = |error: Error| -> Failure { service.refused(&error) };
    match command {
        TotpCommand::Enable => {
            let begun = client.begin_totp().await.map_err(refused)?;
            output.answer("BeginTotpEnrolmentResponse", &begun, || told_secret(&begun))
        }
        TotpCommand::Confirm { code } => {
            let recovery_codes = client.confirm_totp(&code).await.map_err(refused)?;
            codes(output, recovery_codes)
        }
        TotpCommand::Disable { user } => {
            client.disable_totp(&user).await.map_err(refused)?;
            if output.is_json() {
                return Ok(());
            }
            output.line("The second factor is gone; a password alone logs in")
        }
        TotpCommand::Codes => {
            let recovery_codes = client.regenerate_recovery_codes().await.map_err(refused)?;
            codes(output, recovery_codes)
        }
    }
}

fn told_secret(begun: &pb::BeginTotpEnrolmentResponse) -> String {
    format!(
        "Secret: {}\nLink:   {}\nType it into an authenticator app, then: `taskwire totp confirm CODE`",
        visible(&begun.secret),
        visible(&begun.otpauth_uri)
    )
}

fn codes(output: &Output, recovery_codes: Vec<String>) -> Outcome {
    let message = pb::RegenerateRecoveryCodesResponse { recovery_codes };
    output.answer("RegenerateRecoveryCodesResponse", &message, || {
        let codes: Vec<String> = message.recovery_codes.iter().map(|code| visible(code)).collect();
        format!("{}\nEach is good for one login without the app. They are not shown again.", codes.join("\n"))
    })
}
