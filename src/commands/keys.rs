//! `taskwire keys`: making, turning and listing the keys that sign tokens, and making those that seal secrets.

use std::path::Path;
use std::time::Duration;

use super::database::time_of;
use super::outcome::{Failure, Outcome, say};
use crate::auth::{KeyError, KeyRing, SecretsKeys, SigningKey};
use crate::config::Config;
use crate::domain::Timestamp;

pub(super) fn load(config: &Config) -> Result<KeyRing, Failure> {
    let file = &config.signing_key_file;
    let made = if config.make_signing_key { SigningKey::create_missing(file) } else { Ok(()) };
    made.and_then(|()| KeyRing::load(file)).map_err(key_failure)
}

/// The keys that seal secrets, as far as there are to be any.
pub(super) fn load_secrets(config: &Config) -> Result<Option<SecretsKeys>, Failure> {
    let Some(file) = &config.secrets_key_file else { return Ok(None) };
    if config.make_secrets_key
        && let Err(cause) = SecretsKeys::create_missing(file)
    {
        // Nobody asked for it: the service does without, and refuses what needs it.
        tracing::warn!(%cause, "there is no place for a key that seals secrets: set TASKWIRE_SECRETS_KEY_FILE");
        return Ok(None);
    }
    let loaded = SecretsKeys::load(file);
    loaded.map(Some).map_err(|error| failure("TASKWIRE_SECRETS_KEY_FILE (--secrets-key-file)", error))
}

fn key_failure(error: KeyError) -> Failure {
    failure("TASKWIRE_SIGNING_KEY_FILE (--signing-key-file)", error)
}

fn failure(setting: &str, error: KeyError) -> Failure {
    match error {
        KeyError::Random => Failure::new(error),
        error => Failure::usage(vec![format!("{setting}: {error}")]),
    }
}

pub(super) async fn rotate(config: &Config, lead_seconds: u32) -> Outcome {
    let now = time_of(&config.storage).await;
    let active_from = now.after(Duration::from_secs(lead_seconds.into()));
    let token_life = config.settings.tokens().token_life();
    KeyRing::rotate_file(&config.signing_key_file, active_from, now, token_life).map_err(key_failure)?;
    list(config).await
}

pub(super) async fn list(config: &Config) -> Outcome {
    let ring = KeyRing::load(&config.signing_key_file).map_err(key_failure)?;
    let now = time_of(&config.storage).await;
    for (id, state, active_from) in ring.list(now, config.settings.tokens().token_life()) {
        let (seconds, _) = active_from.to_parts();
        let since = prost_types::Timestamp { seconds, nanos: 0 };
        let since = if active_from == Timestamp::MIN { "always".to_owned() } else { since.to_string() };
        say(&format!("{id}  {:<7}  {since}", state.name()))?;
    }
    Ok(())
}

pub(super) fn generate(out: Option<&Path>) -> Outcome {
    match out {
        Some(file) => SigningKey::create(file).map_err(Failure::new),
        None => say(SigningKey::generate_pem().map_err(Failure::new)?.trim_end()),
    }
}

pub(super) fn generate_secrets_key(out: Option<&Path>) -> Outcome {
    match out {
        Some(file) => SecretsKeys::create(file).map_err(Failure::new),
        None => say(SecretsKeys::generate().map_err(Failure::new)?.trim_end()),
    }
}

/// The texts of the key files, for a backup; of each, as far as there is one.
pub(super) fn texts(config: &Config) -> Result<(Option<String>, Option<String>), Failure> {
    let text = |file: &Path| match file.exists() {
        true => crate::auth::read_key_file(file).map(Some),
        false => Ok(None),
    };
    let signing = text(&config.signing_key_file).map_err(key_failure)?;
    let secrets = config.secrets_key_file.as_deref().map(text).transpose();
    let secrets =
        secrets.map_err(|error| failure("TASKWIRE_SECRETS_KEY_FILE (--secrets-key-file)", error))?;
    Ok((signing, secrets.flatten()))
}

/// Where the texts of a backup belong.
fn places<'a>(
    config: &'a Config,
    signing: Option<&'a str>,
    secrets: Option<&'a str>,
) -> Result<Vec<(&'a Path, &'a str)>, Failure> {
    let mut places: Vec<(&Path, &str)> = Vec::new();
    places.extend(signing.map(|text| (config.signing_key_file.as_path(), text)));
    match (secrets, &config.secrets_key_file) {
        (Some(text), Some(file)) => places.push((file, text)),
        (Some(_), None) => {
            let text = "TASKWIRE_SECRETS_KEY_FILE (--secrets-key-file): says where the keys of the backup go that seal secrets";
            return Err(Failure::usage(vec![text.to_owned()]));
        }
        (None, _) => {}
    }
    Ok(places)
}

/// Whether keys of a backup can be put where they belong: nothing is replaced.
pub(super) fn check_restore(config: &Config, signing: Option<&str>, secrets: Option<&str>) -> Outcome {
    for (file, text) in places(config, signing, secrets)? {
        match std::fs::read_to_string(file) {
            Ok(found) if found == text => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Ok(_) => {
                let text = format!("{} holds other keys than the backup: move it away", file.display());
                return Err(Failure::new(text));
            }
            Err(error) => return Err(Failure::new(format!("{}: {error}", file.display()))),
        }
    }
    Ok(())
}

/// Puts keys of a backup where they belong.
pub(super) fn restore(config: &Config, signing: Option<&str>, secrets: Option<&str>) -> Outcome {
    check_restore(config, signing, secrets)?;
    for (file, text) in places(config, signing, secrets)? {
        if !file.exists() {
            crate::auth::write_key_file(file, text).map_err(Failure::new)?;
        }
    }
    Ok(())
}
