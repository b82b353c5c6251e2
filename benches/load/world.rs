//! The users and tasks that the load is spread over.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use taskwire::pb;
use taskwire::pb::task_service_client::TaskServiceClient;
use taskwire::pb::user_service_client::UserServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{IntoRequest, Request};

use crate::{Options, Result};

// The variables of pgbench are numbers, so ids are a constant and twelve decimal digits, which are hexadecimal as well.
/// The first twenty digits of a user's id.
pub(crate) const USER_PREFIX: &str = "00000000000070008000";
/// The first twenty digits of the id of a task that was there before.
pub(crate) const TASK_PREFIX: &str = "00000000000070009000";
/// What the first user and each user's first task have as the last twelve digits.
pub(crate) const FIRST: u64 = 100_000_000_000;

const PASSWORD: &str = "a long enough passphrase";
/// Tasks of one batch: as many as the contract allows.
const BATCH: usize = 200;
/// Calls under way while the world is made. Passwords are hashed a few at a time, and few may wait.
const PARALLEL: usize = 3;

/// A user who is logged in.
#[derive(Debug)]
pub(crate) struct Account {
    /// `users/{user}`
    pub(crate) name: String,
    token: MetadataValue<Ascii>,
}

impl Account {
    /// The user with this name, who has this token.
    pub(crate) fn with(name: String, token: &str) -> Result<Self> {
        Ok(Self { name, token: format!("Bearer {token}").parse()? })
    }

    /// What the `authorization` of this user's calls holds.
    pub(crate) fn bearer(&self) -> &MetadataValue<Ascii> {
        &self.token
    }

    /// A call by this user.
    pub(crate) fn call<T>(&self, message: T) -> Request<T> {
        let mut request = message.into_request();
        request.metadata_mut().insert("authorization", self.token.clone());
        request
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) accounts: Vec<Account>,
    /// How many tasks each user had before the load; their ids can be counted up.
    seeded: AtomicU32,
    /// Tasks that the load made, and may delete: the account's place, and the name.
    fresh: Mutex<Vec<(usize, String)>>,
}

/// What every task holds at first.
pub(crate) fn new_task() -> pb::Task {
    pb::Task {
        title: "Write the weekly report".to_owned(),
        description: Some("Numbers of the last seven days, and what to do about them.".to_owned()),
        priority: pb::Priority::High.into(),
        ..pb::Task::default()
    }
}

/// Runs futures a few at a time, in order.
async fn in_parallel<T, F>(futures: impl Iterator<Item = F>) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>>,
{
    use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
    iter(futures).buffered(PARALLEL).try_collect().await
}

/// Registers the users.
pub(crate) async fn register(options: &Options, channel: &Channel) -> Result<()> {
    let register = |number| {
        let mut client = UserServiceClient::new(channel.clone());
        async move {
            let user = pb::User { email: email(number), ..pb::User::default() };
            let request = pb::CreateUserRequest {
                user: Some(user),
                password: PASSWORD.to_owned(),
                ..Default::default()
            };
            Ok(client.create_user(request).await?)
        }
    };
    in_parallel((0..options.users).map(register)).await?;
    Ok(())
}

fn email(number: u32) -> String {
    format!("user-{number:04}@example.com")
}

impl World {
    /// Logs every user in and makes their tasks.
    pub(crate) async fn enter(options: &Options, channel: &Channel) -> Result<Self> {
        let enter = |number| {
            let channel = channel.clone();
            async move {
                let request = pb::LoginRequest {
                    email: email(number),
                    password: PASSWORD.to_owned(),
                    device: String::new(),
                };
                let pair = UserServiceClient::new(channel.clone()).login(request).await?.into_inner();
                let name = pair.user.ok_or("a login without a user")?.name;
                let token = format!("Bearer {}", pair.access_token).parse()?;
                let account = Account { name, token };
                let ids = (0..options.tasks).map(|number| Some(task_id(number)));
                create(&channel, &account, ids.collect()).await?;
                Ok(account)
            }
        };
        let accounts = in_parallel((0..options.users).map(enter)).await?;
        Ok(Self::of(accounts, options.tasks))
    }

    /// Users who are there already, with so many tasks each.
    pub(crate) fn of(accounts: Vec<Account>, seeded: u32) -> Self {
        Self { accounts, seeded: seeded.into(), fresh: Mutex::default() }
    }

    /// How many tasks each user had before the load.
    pub(crate) fn seeded(&self) -> u32 {
        self.seeded.load(Ordering::Relaxed)
    }

    /// Somebody else made more of them.
    pub(crate) fn set_seeded(&self, count: u32) {
        self.seeded.store(count, Ordering::Relaxed);
    }

    /// The name of any task of this user that was there before the load.
    pub(crate) fn any_task(&self, place: usize, random: &mut fastrand::Rng) -> String {
        format!("{}/tasks/{}", self.accounts[place].name, task_id(random.u32(..self.seeded())))
    }

    /// Makes sure that there are so many tasks to delete.
    pub(crate) async fn stock(&self, channel: &Channel, count: usize) -> Result<()> {
        let there = self.with_fresh(|fresh| fresh.len());
        let batches = count.saturating_sub(there).div_ceil(BATCH);
        let stock = |batch: usize| async move {
            let place = batch % self.accounts.len();
            let names = create(channel, &self.accounts[place], vec![None; BATCH]).await?;
            self.with_fresh(|fresh| fresh.extend(names.into_iter().map(|name| (place, name))));
            Ok(())
        };
        in_parallel((0..batches).map(stock)).await?;
        // Neighbours would share pages.
        self.with_fresh(|fresh| fastrand::shuffle(fresh));
        Ok(())
    }

    /// A task that may be deleted, if there still is one; of this account where it matters.
    pub(crate) fn take_fresh(&self, of: Option<usize>) -> Option<(usize, String)> {
        self.with_fresh(|fresh| match of {
            None => fresh.pop(),
            Some(place) => {
                let at = fresh.iter().position(|(of, _)| *of == place)?;
                Some(fresh.swap_remove(at))
            }
        })
    }

    /// Remembers a task that the load made.
    pub(crate) fn put_fresh(&self, place: usize, name: String) {
        self.with_fresh(|fresh| fresh.push((place, name)));
    }

    fn with_fresh<T>(&self, act: impl FnOnce(&mut Vec<(usize, String)>) -> T) -> T {
        act(&mut self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The id of a user's task, such that `pgbench` can count it up.
fn task_id(number: u32) -> String {
    let digits = format!("{}{}", TASK_PREFIX, FIRST + u64::from(number));
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// Creates tasks, with these ids or with whichever the service gives them; answers their names.
async fn create(channel: &Channel, account: &Account, ids: Vec<Option<String>>) -> Result<Vec<String>> {
    let mut client = TaskServiceClient::new(channel.clone());
    let mut names = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let create = |id: &Option<String>| pb::CreateTaskRequest {
            task: Some(new_task()),
            task_id: id.clone().unwrap_or_default(),
            ..pb::CreateTaskRequest::default()
        };
        let request = account.call(pb::BatchCreateTasksRequest {
            parent: account.name.clone(),
            requests: batch.iter().map(create).collect(),
            request_id: String::new(),
        });
        let answer = client.batch_create_tasks(request).await?.into_inner();
        names.extend(answer.tasks.into_iter().map(|task| task.name));
    }
    Ok(names)
}
