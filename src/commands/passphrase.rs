//! The passphrase of a backup: from a file or a terminal, and never an argument, which others can read.

use std::io::IsTerminal as _;
use std::path::Path;

use secrecy::SecretString;

use super::outcome::Failure;
use crate::transfer::PASSPHRASE_CHARS_MIN;

/// Reads the passphrase; a new one is asked for twice, and has to be long enough.
pub(super) fn read(file: Option<&Path>, is_new: bool) -> Result<SecretString, Failure> {
    let named = "TASKWIRE_BACKUP_PASSPHRASE_FILE (--passphrase-file)";
    // Not at the flag: where it is set for all commands, it must not ask for keys.
    let set = std::env::var_os("TASKWIRE_BACKUP_PASSPHRASE_FILE").filter(|file| !file.is_empty());
    let passphrase = match file.map(Path::to_path_buf).or_else(|| set.map(Into::into)) {
        Some(file) => {
            let text = std::fs::read_to_string(&file);
            let text =
                text.map_err(|error| Failure::usage(vec![format!("{named}: {}: {error}", file.display())]))?;
            text.lines().next().unwrap_or_default().to_owned()
        }
        None if std::io::stdin().is_terminal() => ask(is_new)?,
        None => {
            return Err(Failure::usage(vec![format!(
                "{named}: names no file, and there is no terminal to ask on"
            )]));
        }
    };
    if is_new && passphrase.chars().count() < PASSPHRASE_CHARS_MIN {
        let text = format!("the passphrase must have at least {PASSPHRASE_CHARS_MIN} characters");
        return Err(Failure::usage(vec![text]));
    }
    Ok(passphrase.into())
}

fn ask(is_new: bool) -> Result<String, Failure> {
    let unread = |error| Failure::new(format!("the passphrase cannot be read: {error}"));
    let passphrase = rpassword::prompt_password("Passphrase of the keys: ").map_err(unread)?;
    if is_new && rpassword::prompt_password("Once more: ").map_err(unread)? != passphrase {
        return Err(Failure::usage(vec!["the passphrases differ".to_owned()]));
    }
    Ok(passphrase)
}
