//! Register, log in, log out, and who is logged in.

use std::io::{BufRead, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use tonic::Code;

use super::credentials::{Credentials, Login};
use super::output::Output;
use super::text::visible;
use super::{Service, address, api_key, builder, call, shared};
use crate::cli::client::Remote;
use crate::client::{Client, NewAccount, SecondFactor, Session, challenge};
use crate::commands::{Failure, Outcome};
use crate::pb::{Role, User};

/// Longest device that the service keeps.
const DEVICE_CODE_POINTS_MAX: usize = 100;
/// Longest line that is taken for a password or an address, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// Who wants to log in.
#[derive(Debug)]
pub(in crate::commands) struct LoggingIn {
    pub(in crate::commands) email: Option<String>,
    pub(in crate::commands) password_file: Option<PathBuf>,
    pub(in crate::commands) code: Option<String>,
}

impl LoggingIn {
    /// Asks for what was not given.
    fn ask(self, is_new: bool) -> Result<(String, String), Failure> {
        let email = match self.email {
            Some(email) => email,
            None if std::io::stdin().is_terminal() => ask_email()?,
            None => return Err(Failure::usage(vec!["EMAIL is missing: whose account is it?".to_owned()])),
        };
        let password = password(self.password_file.as_deref(), is_new)?;
        if password.is_empty() {
            return Err(Failure::usage(vec!["the password is empty".to_owned()]));
        }
        Ok((email, password))
    }
}

pub(in crate::commands) async fn register(remote: &Remote, who: LoggingIn, display_name: String) -> Outcome {
    let door = Door::find(remote)?;
    let (email, password) = who.ask(true)?;
    let new = NewAccount { email: email.clone(), password: password.clone(), display_name };
    door.client.register(new).await.map_err(|error| door.service.refused(&error))?;
    door.enter(&email, &password, None, "Registered and logged in").await
}

pub(in crate::commands) async fn log_in(remote: &Remote, who: LoggingIn) -> Outcome {
    let door = Door::find(remote)?;
    let code = who.code.clone();
    let (email, password) = who.ask(false)?;
    door.enter(&email, &password, code, "Logged in").await
}

/// A service to which nobody is logged in yet.
pub(super) struct Door {
    pub(super) client: Client,
    pub(super) service: Service,
    credentials: Credentials,
    ca_file: Option<PathBuf>,
    pub(super) output: Output,
}

impl Door {
    pub(super) fn find(remote: &Remote) -> Result<Self, Failure> {
        let output = Output::new(remote)?;
        let credentials = Credentials::find()?;
        // Before a password is typed: a file that cannot be used is no place for its session.
        let kept = credentials.read()?;
        let service = Service { address: address(remote, &kept), has_key: false };
        let ca_file = super::ca_file(remote, &kept, &service.address);
        let ca_file = ca_file.map(std::path::absolute).transpose().map_err(Failure::new)?;
        let client = builder(&service.address, ca_file.as_deref())?.connect_lazy();
        let client = client.map_err(|error| service.refused(&error))?;
        Ok(Self { client, service, credentials, ca_file, output })
    }

    async fn enter(self, email: &str, password: &str, code: Option<String>, done: &str) -> Outcome {
        let refused = |error| self.service.refused(&error);
        let session = match self.client.login(email, password, &device()).await {
            Err(error) => match (challenge(&error), code) {
                (Some(challenge), Some(code)) => self.complete(challenge, &code).await?,
                (Some(challenge), None) if std::io::stdin().is_terminal() => {
                    self.complete(challenge, &ask_code()?).await?
                }
                _ => return Err(refused(error)),
            },
            answer => answer.map_err(refused)?,
        };
        let user = self.client.whoami().await.map_err(refused)?;
        let login = Login { email: user.email.clone(), ca_file: self.ca_file, session };
        self.credentials.keep(&self.service.address, login)?;
        if api_key().is_some() {
            Failure::new("TASKWIRE_API_KEY is set, and is used instead of this login").warn();
        }
        let told = || format!("{done} to {} as {}", self.service.address, visible(&user.email));
        self.output.answer("User", &user, told)
    }

    /// The second half of a login.
    async fn complete(&self, challenge: &str, code: &str) -> Result<Session, Failure> {
        let completed = self.client.complete_login(challenge, SecondFactor::typed(code)).await;
        completed.map_err(|error| self.service.refused(&error))
    }
}

fn ask_code() -> Result<String, Failure> {
    rpassword::prompt_password("Code, or a recovery code: ")
        .map_err(|error| Failure::new(format!("the code cannot be read: {error}")))
}

pub(in crate::commands) async fn log_out(remote: &Remote, forget: bool) -> Outcome {
    let output = Output::new(remote)?;
    let credentials = Credentials::find()?;
    let kept = credentials.read()?;
    let service = Service { address: address(remote, &kept), has_key: false };
    let Some(login) = kept.services.get(service.address.as_str()) else {
        return Err(service.without_login());
    };
    if !forget {
        let ca_file = super::ca_file(remote, &kept, &service.address);
        let builder = builder(&service.address, ca_file.as_deref())?;
        let client = shared(builder, credentials.clone(), service.address.clone(), login.session.clone());
        let client = client.connect_lazy().map_err(|error| service.refused(&error))?;
        match client.logout().await {
            Ok(()) => {}
            // It is over already.
            Err(error) if error.code() == Code::Unauthenticated => {}
            Err(error) => {
                let mut failure = service.refused(&error);
                failure.lines.push("still logged in; --forget forgets the session here alone".to_owned());
                return Err(failure);
            }
        }
    }
    credentials.forget(&service.address)?;
    if output.is_json() {
        return Ok(());
    }
    output.line(&format!("Logged out of {} as {}", service.address, visible(&login.email)))
}

pub(in crate::commands) async fn who_am_i(remote: &Remote) -> Outcome {
    let context = call(remote)?;
    let user = context.client.whoami().await.map_err(|error| context.service.refused(&error))?;
    context.output.answer("User", &user, || told(&user, &context.service))
}

fn told(user: &User, service: &Service) -> String {
    let mut told = visible(&user.email);
    if !user.display_name.is_empty() {
        told = format!("{told} ({})", visible(&user.display_name));
    }
    if user.role() == Role::Admin {
        told.push_str(", an administrator,");
    }
    format!("{told} on {}", service.address)
}

fn ask_email() -> Result<String, Failure> {
    // Not on standard output, which holds the answer.
    let asked = write!(std::io::stderr(), "Email: ").and_then(|()| std::io::stderr().flush());
    asked.map_err(|error| Failure::new(format!("cannot ask for the email address: {error}")))?;
    let email = first_line(std::io::stdin().lock())
        .map_err(|error| Failure::new(format!("the email address cannot be read: {error}")))?;
    Ok(email.trim().to_owned())
}

pub(super) fn password(file: Option<&Path>, is_new: bool) -> Result<String, Failure> {
    let unread = |error: std::io::Error| Failure::new(format!("the password cannot be read: {error}"));
    let input = std::io::stdin();
    match file {
        Some(path) if path == Path::new("-") => first_line(input.lock()).map_err(unread),
        Some(path) => {
            let read = std::fs::File::open(path).and_then(|file| first_line(BufReader::new(file)));
            read.map_err(|error| {
                Failure::usage(vec![format!("--password-file: {}: {error}", path.display())])
            })
        }
        None if !input.is_terminal() => first_line(input.lock()).map_err(unread),
        None => {
            let typed = rpassword::prompt_password("Password: ").map_err(unread)?;
            // Whoever mistypes a new one would be locked out.
            if is_new && rpassword::prompt_password("Again: ").map_err(unread)? != typed {
                return Err(Failure::usage(vec!["the two passwords are different".to_owned()]));
            }
            Ok(typed)
        }
    }
}

pub(super) fn first_line(input: impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    std::io::Read::take(input, LINE_BYTES_MAX).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// What the list of sessions shows of this login.
fn device() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let device = format!("taskwire on {host}");
    device.chars().filter(|char| !char.is_control()).take(DEVICE_CODE_POINTS_MAX).collect()
}
