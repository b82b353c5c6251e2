-- What leaves the house: who listens, what they are to be told, in which order, and how far that is.

-- Whether the user's own webhooks listen, so that a write knows under the lock that it takes anyway.
alter table users add column listened boolean not null default 0 check (listened in (0, 1));

-- Programs before this one tell nobody of what they change.
update database_state set compatible_from = '20261129040000';

-- Who listens beside these: to every user's changes or to those of some. Empty where nobody does.
create table event_listeners (
    name       text primary key not null,
    everyone   boolean not null check (everyone in (0, 1)),
    renew_time integer not null
);
-- The last number that was given, and the last one whose event is no longer kept.
create table event_head (
    id           integer primary key not null check (id = 1),
    last_number  integer not null,
    swept_number integer not null
);
insert into event_head (id, last_number, swept_number) values (1, 0, 0);

-- Written in the transaction of what it tells: a stretch of a user's change log, or something else about the user.
create table outbox (
    user_id       blob not null check (length(user_id) = 16),
    -- The first of the revisions; of something else, the one that the user had then.
    revision      integer not null,
    id            blob not null check (length(id) = 16),
    last_revision integer not null,
    kind          integer not null check (kind between 1 and 5),
    payload       text,
    create_time   integer not null,
    primary key (user_id, revision, id)
) without rowid;
-- The same in one order for all. A number is only given to what was committed.
create table events (
    user_id       blob not null check (length(user_id) = 16),
    number        integer not null,
    revision      integer not null,
    id            blob not null check (length(id) = 16),
    last_revision integer not null,
    kind          integer not null,
    payload       text,
    create_time   integer not null,
    primary key (user_id, number)
) without rowid;
create index events_number_idx on events (number);

-- Those of administrators stand under a user who does not exist, zero.
create table webhooks (
    user_id             blob not null check (length(user_id) = 16),
    id                  blob not null check (length(id) = 16),
    url                 text not null,
    event_types         integer not null,
    disable_reason      integer,
    -- Sealed. The one before is valid until its time.
    secret              blob not null,
    previous_secret     blob,
    previous_until      integer,
    create_time         integer not null,
    update_time         integer not null,
    last_success_time   integer,
    last_failure_time   integer,
    last_failure_code   integer,
    last_failure_reason integer,
    primary key (user_id, id)
);
-- What a webhook has still to be told of a user: events from one number on up to another, and before them changes once more.
create table webhook_queues (
    user_id           blob not null check (length(user_id) = 16),
    webhook_id        blob not null check (length(webhook_id) = 16),
    -- Whose webhook it is.
    owner_id          blob not null check (length(owner_id) = 16),
    next_number       integer not null,
    last_number       integer not null,
    -- How far the first of them was told.
    next_revision     integer not null,
    replay_revision   integer,
    replay_until      integer,
    attempts          integer not null,
    next_attempt_time integer,
    primary key (user_id, webhook_id)
);
create index webhook_queues_time_idx on webhook_queues (next_attempt_time) where next_attempt_time is not null;
create index webhook_queues_webhook_idx on webhook_queues (webhook_id);

-- What the reminders look for: when the next one of a task is told, in microseconds since 1970.
create index tasks_remind_idx on tasks ((details->>'remind_time')) where (details->>'remind_time') is not null;
