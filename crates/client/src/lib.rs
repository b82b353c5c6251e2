//! A client for Rust programs: it keeps a session alive, repeats what is safe to repeat, and resumes streams.
//!
//! ```no_run
//! use futures_util::TryStreamExt as _;
//! use taskwire_client::{Client, ListOptions};
//! use taskwire_proto::Task;
//!
//! # async fn example() -> taskwire_client::Result<()> {
//! let client = Client::builder("http://127.0.0.1:50051").connect().await?;
//! client.login("ada@example.com", "correct horse battery staple", "laptop").await?;
//! let tasks = client.tasks();
//! tasks.create(Task { title: "Buy milk".to_owned(), ..Task::default() }).await?;
//! let mut open = tasks.list(ListOptions { filter: "completed = false".to_owned(), ..ListOptions::default() });
//! while let Some(task) = open.try_next().await? {
//!     println!("{}", task.title);
//! }
//! # Ok(())
//! # }
//! ```

mod accounts;
mod builder;
mod by_mail;
mod call;
mod error;
mod events;
mod list;
mod moving;
mod refresh;
mod retry;
mod session;
mod task_lists;
mod tasks;
mod watch;
mod webhooks;

use std::fmt;
use std::sync::Arc;

use self::call::{Core, Kind};
use self::retry::idempotency_key;
use self::session::is_over;
use taskwire_proto as pb;
use taskwire_proto::user_service_client::UserServiceClient;

pub use self::accounts::{SecondFactor, challenge};
pub use self::builder::Builder;
pub use self::error::{Error, Result};
pub use self::events::EventOptions;
pub use self::moving::ImportOptions;
pub use self::session::Session;
pub use self::task_lists::{MoveTarget, Place};
pub use self::tasks::{Checkpoint, ListOptions, Tasks, UndoOptions};
pub use self::watch::{Event, WatchFrom};
pub use self::webhooks::Webhooks;

/// A connection to a service and, once somebody has logged in, their session. Clones share both.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
}

/// Who registers.
#[derive(Clone, Default)]
pub struct NewAccount {
    /// The address to log in with.
    pub email: String,
    /// The password; the service says which ones it takes.
    pub password: String,
    /// What to call them; may be empty.
    pub display_name: String,
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount")
            .field("email", &self.email)
            .field("display_name", &self.display_name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", &self.session()).finish_non_exhaustive()
    }
}

impl Client {
    /// Begins to make a client for the service at `http://host:port`, `https://host:port` or `unix:///path`.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder::new(address.into())
    }

    /// Makes an account; it is not logged in.
    pub async fn register(&self, new: NewAccount) -> Result<pb::User> {
        let user = pb::User { email: new.email, display_name: new.display_name, ..pb::User::default() };
        let request =
            pb::CreateUserRequest { user: Some(user), password: new.password, request_id: idempotency_key() };
        // With the token of whoever is logged in: where registration is closed, administrators register others.
        let create =
            |channel, request| async move { UserServiceClient::new(channel).create_user(request).await };
        self.core.authorized(Kind::Idempotent, request, create).await
    }

    /// Begins a session and keeps it. The device is what the list of sessions shows of it.
    ///
    /// It is not repeated after a lost answer: each login begins a session. An account with a second factor answers
    /// `MFA_REQUIRED` with a [`challenge`] for [`complete_login`](Self::complete_login).
    pub async fn login(&self, email: &str, password: &str, device: &str) -> Result<Session> {
        let request = pb::LoginRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            device: device.to_owned(),
        };
        let login = |channel, request| async move { UserServiceClient::new(channel).login(request).await };
        self.core.begin_session(request, login).await
    }

    /// Ends the session, here and at the service. Without one there is nothing to do.
    pub async fn logout(&self) -> Result<()> {
        if self.session().is_none() {
            return Ok(());
        }
        let logout = |channel, request| async move { UserServiceClient::new(channel).logout(request).await };
        match self.core.authorized(Kind::Repeatable, pb::LogoutRequest {}, logout).await {
            Ok(pb::LogoutResponse {}) => {}
            // As after a repeated call whose first answer was lost.
            Err(error) if is_over(&error) => {}
            Err(error) => return Err(error),
        }
        self.core.forget_session().await;
        Ok(())
    }

    /// Whose session it is.
    pub async fn whoami(&self) -> Result<pb::User> {
        let request = pb::GetUserRequest { name: "users/me".to_owned() };
        let get = |channel, request| async move { UserServiceClient::new(channel).get_user(request).await };
        self.core.authorized(Kind::Read, request, get).await
    }

    /// The session as it is now, to be kept for the next run of the program.
    pub fn session(&self) -> Option<Session> {
        self.core.session()
    }

    /// One's own tasks.
    pub fn tasks(&self) -> Tasks {
        self.tasks_of("users/me")
    }

    /// The tasks of a user, `users/{user}`.
    pub fn tasks_of(&self, user: impl Into<String>) -> Tasks {
        Tasks::new(Arc::clone(&self.core), user.into())
    }

    /// One's own webhooks.
    pub fn webhooks(&self) -> Webhooks {
        Webhooks::new(Arc::clone(&self.core), "users/me".to_owned())
    }

    /// The webhooks of the administrators, which are told of all users; for administrators who are logged in.
    pub fn administrators_webhooks(&self) -> Webhooks {
        Webhooks::new(Arc::clone(&self.core), String::new())
    }
}
