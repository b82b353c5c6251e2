//! The words of a caller about what is proved by mail: an address, a new password, another address.

use std::path::PathBuf;

use clap::Args;

pub(super) const VERIFY_EXAMPLES: &str = "Examples:
  taskwire verify ada@example.com
  taskwire verify --token twm_…
  pbpaste | taskwire verify --token -

The first mails a token to the address; the second takes it. Nobody has to be logged in.";

pub(super) const RESET_EXAMPLES: &str = "Examples:
  taskwire reset-password ada@example.com
  taskwire reset-password --token twm_…
  taskwire reset-password --token twm_… --password-file password.txt

The first mails a token to the address; the second takes it with a new password, and ends all sessions. Nobody has to be logged in.";

pub(super) const CHANGE_EXAMPLES: &str = "Examples:
  taskwire change-email ada@example.org
  taskwire change-email --token twm_…

The first mails a token to the new address, and needs a login of the last ten minutes; the second takes it.";

/// An address that a token is mailed to, or that token.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ByMail {
    /// Email address that a token is mailed to
    #[arg(value_name = "EMAIL")]
    pub email: Option<String>,
    /// The token out of the mail, or - for the first line of standard input
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    pub token: Option<String>,
}

/// `taskwire reset-password`
#[derive(Debug, Args)]
pub struct Reset {
    /// The address, or the token
    #[command(flatten)]
    pub by_mail: ByMail,
    /// File whose first line is the new password, or - for standard input. When absent it is asked for on a terminal, and read
    /// from standard input elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "email")]
    pub password_file: Option<PathBuf>,
}
