//! The words of a caller about their second factor.

use clap::Subcommand;

pub(super) const TOTP_EXAMPLES: &str = "Examples:
  taskwire totp enable
  taskwire totp confirm 287082
  taskwire login ada@example.com --code 287082

`enable` shows a secret for an authenticator app; `confirm` takes a code of it and shows ten recovery codes, each good for one
login without the app. Both are shown once. What changes a second factor needs a login of the last ten minutes.";

/// `taskwire totp`
#[derive(Debug, Subcommand)]
pub enum TotpCommand {
    /// Show the secret of a new second factor, which counts once it is confirmed
    Enable,
    /// Have the second factor count, and show its recovery codes
    Confirm {
        /// The six digits that the app shows
        #[arg(value_name = "CODE")]
        code: String,
    },
    /// Take the second factor away
    Disable {
        /// Whose, where an administrator helps out: users/ID
        #[arg(long, value_name = "USER", default_value = "users/me")]
        user: String,
    },
    /// Show new recovery codes, which take the place of the old ones
    Codes,
}
