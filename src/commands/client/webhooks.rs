//! Webhooks: added, listed, shown, changed, tried and deleted.

use super::output::{Output, Style};
use super::table::{short_id, time};
use super::text::{fitted, padded, visible, width};
use super::{Context, Failure, Outcome};
use crate::cli::webhooks::{Edit, WebhookCommand};
use crate::client::Webhooks;
use crate::commands::{USAGE, say_error};
use crate::pb::webhook::{DisableReason, Failure as Failed, State};
use crate::pb::{Webhook, WebhookQueue};

/// Shorter pieces of an id are mistakes rather than ids.
const PIECE_MIN: usize = 4;
/// So many are told where several are meant.
const TOLD_MAX: usize = 5;
const BETWEEN: &str = "  ";

/// What can be asked for, where nothing is said of it.
const ALL: [&str; 3] = ["task.*", "task_list.*", "reminder.due"];
const ALL_OF_ACCOUNTS: &str = "user.*";

/// Webhooks of somebody.
struct Those<'a> {
    context: &'a Context,
    webhooks: Webhooks,
    are_administrators: bool,
}

pub(super) async fn run(context: &Context, admin: bool, command: WebhookCommand) -> Outcome {
    let webhooks = if admin { context.client.administrators_webhooks() } else { context.client.webhooks() };
    let those = Those { context, webhooks, are_administrators: admin };
    match command {
        WebhookCommand::Add { url, events, disabled } => those.add(url, events, disabled).await,
        WebhookCommand::List => those.list().await,
        WebhookCommand::Show(named) => {
            let webhook = those.which(&named.webhook).await?;
            let told = || details(&context.output, &webhook).join("\n");
            context.output.answer("Webhook", &webhook, told)
        }
        WebhookCommand::Edit(edit) => those.edit(edit).await,
        WebhookCommand::Test(named) => those.test(&named.webhook).await,
        WebhookCommand::Rotate(named) => those.rotate(&named.webhook).await,
        WebhookCommand::Replay { webhook, from, user } => those.replay(&webhook, from, user).await,
        WebhookCommand::Enable(named) => those.set_enabled(&named.webhook, true).await,
        WebhookCommand::Disable(named) => those.set_enabled(&named.webhook, false).await,
        WebhookCommand::Rm { webhooks } => those.delete(&webhooks).await,
        WebhookCommand::Queues(named) => those.queues(&named.webhook).await,
    }
}

impl Those<'_> {
    async fn add(&self, url: String, events: Vec<String>, disabled: bool) -> Outcome {
        let state = if disabled { State::Disabled } else { State::Enabled };
        let event_types = if events.is_empty() { self.all_types() } else { events };
        let webhook = Webhook { url, event_types, state: state.into(), ..Webhook::default() };
        let made = self.webhooks.create_as(webhook).await;
        let made = made.map_err(|error| self.context.service.refused(&error))?;
        let webhook = made.webhook.clone().unwrap_or_default();
        self.context
            .output
            .answer("CreateWebhookResponse", &made, || with_secret("Added", &webhook, &made.secret))
    }

    fn all_types(&self) -> Vec<String> {
        let accounts = self.are_administrators.then_some(ALL_OF_ACCOUNTS);
        ALL.into_iter().chain(accounts).map(str::to_owned).collect()
    }

    async fn list(&self) -> Outcome {
        let output = &self.context.output;
        let webhooks = self.all().await?;
        if output.is_json() {
            return webhooks.iter().try_for_each(|one| output.answer("Webhook", one, String::new));
        }
        if webhooks.is_empty() {
            say_error("no webhooks");
            return Ok(());
        }
        table(output, &webhooks).iter().try_for_each(|line| output.line(line))
    }

    async fn edit(&self, edit: Edit) -> Outcome {
        let name = self.which(&edit.webhook).await?.name;
        let mut paths = Vec::new();
        paths.extend(edit.url.as_ref().map(|_| "url"));
        paths.extend((!edit.events.is_empty()).then_some("event_types"));
        let url = edit.url.unwrap_or_default();
        let webhook = Webhook { name, url, event_types: edit.events, ..Webhook::default() };
        let changed = self.webhooks.update(webhook, &paths).await;
        self.changed("Changed", changed)
    }

    async fn set_enabled(&self, given: &str, enabled: bool) -> Outcome {
        let name = self.which(given).await?.name;
        let changed = self.webhooks.set_enabled(&name, enabled).await;
        self.changed(if enabled { "Enabled" } else { "Disabled" }, changed)
    }

    fn changed(&self, done: &str, changed: crate::client::Result<Webhook>) -> Outcome {
        let changed = changed.map_err(|error| self.context.service.refused(&error))?;
        self.context.output.answer("Webhook", &changed, || format!("{done} {}", line(&changed)))
    }

    async fn test(&self, given: &str) -> Outcome {
        let webhook = self.which(given).await?;
        let tried = self.webhooks.test(&webhook.name).await;
        let tried = tried.map_err(|error| self.context.service.refused(&error))?;
        if self.context.output.is_json() {
            self.context.output.answer("TestWebhookResponse", &tried, String::new)?;
        }
        if !tried.delivered {
            let why = tried.failure.map(|failure| visible(&failure.text)).unwrap_or_default();
            return Err(Failure::new(format!("{} did not take the event: {why}", visible(&webhook.url))));
        }
        if self.context.output.is_json() {
            return Ok(());
        }
        self.context.output.line(&format!("Delivered to {}", visible(&webhook.url)))
    }

    async fn rotate(&self, given: &str) -> Outcome {
        let name = self.which(given).await?.name;
        let rotated = self.webhooks.rotate_secret(&name).await;
        let rotated = rotated.map_err(|error| self.context.service.refused(&error))?;
        let webhook = rotated.webhook.clone().unwrap_or_default();
        self.context.output.answer("RotateWebhookSecretResponse", &rotated, || {
            let told = with_secret("Changed the secret of", &webhook, &rotated.secret);
            format!("{told}\nDeliveries are signed with the one before as well for 24 hours.")
        })
    }

    async fn replay(&self, given: &str, from: i64, user: Option<String>) -> Outcome {
        let webhook = self.which(given).await?;
        let is_of_all = webhook.name.starts_with("webhooks/");
        if is_of_all && user.is_none() {
            let missing = "--user is missing: whose changes are to be told once more?";
            return Err(Failure::usage(vec![missing.to_owned()]));
        }
        let user = user.map(|user| if user.contains('/') { user } else { format!("users/{user}") });
        let replayed = self.webhooks.replay(&webhook.name, from, user.as_deref()).await;
        let change_count = replayed.map_err(|error| self.context.service.refused(&error))?;
        let replayed = crate::pb::ReplayWebhookResponse { change_count };
        let told = || {
            let changes = if change_count == 1 { "change is" } else { "changes are" };
            format!("{change_count} {changes} told once more to {}", line(&webhook))
        };
        self.context.output.answer("ReplayWebhookResponse", &replayed, told)
    }

    async fn delete(&self, given: &[String]) -> Outcome {
        let mut found = Vec::new();
        for one in given {
            found.push(self.which(one).await?);
        }
        for webhook in found {
            let deleted = self.webhooks.delete(&webhook.name).await;
            deleted.map_err(|error| self.context.service.refused(&error))?;
            self.context.output.answer("Webhook", &webhook, || format!("Deleted {}", line(&webhook)))?;
        }
        Ok(())
    }

    async fn queues(&self, given: &str) -> Outcome {
        let output = &self.context.output;
        let name = self.which(given).await?.name;
        let queues = self.webhooks.queues(&name).await;
        let queues = queues.map_err(|error| self.context.service.refused(&error))?;
        if output.is_json() {
            return queues.iter().try_for_each(|queue| output.answer("WebhookQueue", queue, String::new));
        }
        if queues.is_empty() {
            say_error("everything was told");
            return Ok(());
        }
        queues_table(output, &queues).iter().try_for_each(|line| output.line(line))
    }

    async fn all(&self) -> Result<Vec<Webhook>, Failure> {
        self.webhooks.list().await.map_err(|error| self.context.service.refused(&error))
    }

    /// The webhook that is meant: by its name, or the beginning or end of its id.
    async fn which(&self, given: &str) -> Result<Webhook, Failure> {
        if given.contains('/') {
            let found = self.webhooks.get(given).await;
            return found.map_err(|error| self.context.service.refused(&error));
        }
        let piece = given.to_ascii_lowercase();
        if piece.len() < PIECE_MIN || !piece.chars().all(|char| char.is_ascii_hexdigit() || char == '-') {
            let rule = format!("{} is no piece of an id, of {PIECE_MIN} characters at least", visible(given));
            return Err(Failure { lines: vec![rule], status: USAGE });
        }
        let id = |webhook: &Webhook| webhook.name.rsplit('/').next().unwrap_or_default().to_owned();
        let mut found = self.all().await?;
        found.retain(|one| id(one).starts_with(&piece) || id(one).ends_with(&piece));
        if found.len() > 1 {
            let first = format!("{} webhooks are meant by {piece}; give more of the id", found.len());
            let told = found
                .iter()
                .take(TOLD_MAX)
                .map(|one| format!("{}  {}", visible(&id(one)), visible(&one.url)));
            return Err(Failure { lines: std::iter::once(first).chain(told).collect(), status: 1 });
        }
        let whose = if self.are_administrators { " --admin" } else { "" };
        let none = || {
            Failure::new(format!("no webhook is called {piece}; `taskwire webhook list{whose}` shows them"))
        };
        found.pop().ok_or_else(none)
    }
}

/// A webhook in a line.
fn line(webhook: &Webhook) -> String {
    format!("{}  {}", short_id(&webhook.name), visible(&webhook.url))
}

fn with_secret(done: &str, webhook: &Webhook, secret: &str) -> String {
    format!("{done} {}\nSecret, shown this once: {}", line(webhook), visible(secret))
}

/// Whether it sends, and why not.
fn state(webhook: &Webhook) -> String {
    let state = match webhook.disable_reason() {
        DisableReason::Failing => "disabled: not taken for 3 days",
        DisableReason::Gone => "disabled: the receiver is gone",
        DisableReason::Asked => "disabled",
        DisableReason::Unspecified if webhook.state() == State::Disabled => "disabled",
        DisableReason::Unspecified => "enabled",
    };
    state.to_owned()
}

fn failure(failed: Option<&Failed>) -> String {
    failed.map(|failed| format!("{}  {}", time(failed.time), visible(&failed.text))).unwrap_or_default()
}

/// Webhooks, line by line.
fn table(output: &Output, webhooks: &[Webhook]) -> Vec<String> {
    let cells = |webhook: &Webhook| {
        [short_id(&webhook.name), state(webhook), time(webhook.last_success_time), visible(&webhook.url)]
    };
    let rows: Vec<[String; 4]> = webhooks.iter().map(cells).collect();
    columns(output, ["ID", "STATE", "LAST TAKEN", "URL"], &rows)
}

/// Queues, line by line.
fn queues_table(output: &Output, queues: &[WebhookQueue]) -> Vec<String> {
    let cells = |queue: &WebhookQueue| {
        let next = match queue.next_attempt_time {
            None => "given up".to_owned(),
            at => time(at),
        };
        let replaying = if queue.replaying { "yes" } else { "" };
        [queue.attempts.to_string(), next, replaying.to_owned(), visible(&queue.user)]
    };
    let rows: Vec<[String; 4]> = queues.iter().map(cells).collect();
    columns(output, ["ATTEMPTS", "NEXT", "REPLAYING", "USER"], &rows)
}

/// Rows under their headings; the last column is cut to what is left of the line.
fn columns(output: &Output, headings: [&str; 4], rows: &[[String; 4]]) -> Vec<String> {
    const LAST: usize = 3;
    let headings = headings.map(str::to_owned);
    let mut widths = headings.each_ref().map(|heading| width(heading));
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let used: usize = widths[..LAST].iter().map(|width| width + BETWEEN.len()).sum();
    let room = output.columns().map_or(usize::MAX, |columns| columns.saturating_sub(used));
    let laid = |row: &[String; 4], style: Style| {
        let first = row[..LAST].iter().zip(widths).map(|(cell, width)| padded(cell, width));
        let cells: Vec<String> = first.chain([fitted(&row[LAST], room.max(headings[LAST].len()))]).collect();
        output.styled(style, &cells.join(BETWEEN))
    };
    let heading = std::iter::once(laid(&headings, Style::Heading));
    heading.chain(rows.iter().map(|row| laid(row, Style::Plain))).collect()
}

/// A webhook with all that is known of it, field by field.
fn details(output: &Output, webhook: &Webhook) -> Vec<String> {
    const NAME_COLUMNS: usize = 13;
    let fields = [
        ("URL", visible(&webhook.url)),
        ("Events", visible(&webhook.event_types.join(", "))),
        ("State", state(webhook)),
        ("Last taken", time(webhook.last_success_time)),
        ("Last failure", failure(webhook.last_failure.as_ref())),
        ("Created", time(webhook.create_time)),
        ("Changed", time(webhook.update_time)),
        ("Name", visible(&webhook.name)),
    ];
    let known = fields.into_iter().filter(|(_, value)| !value.is_empty());
    let line = |(name, value): (&str, String)| {
        let name = output.styled(Style::Heading, &padded(&format!("{name}:"), NAME_COLUMNS));
        format!("{name} {value}")
    };
    known.map(line).collect()
}
