-- What leaves the house: who listens, what they are to be told, in which order, and how far that is.

-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    -- Whether the user's own webhooks listen, so that a write knows under the lock that it takes anyway.
    alter table users add column listened boolean not null default false;

    -- Programs before this one tell nobody of what they change.
    update database_state set compatible_from = '20261129040000';

    -- Who listens beside these: to every user's changes or to those of some. Empty where nobody does.
    create table event_listeners (
        name       text primary key,
        everyone   boolean not null,
        renew_time timestamptz not null
    );
    -- The last number that was given, and the last one whose event is no longer kept.
    create table event_head (
        id           smallint primary key check (id = 1),
        last_number  bigint not null,
        swept_number bigint not null
    );
    insert into event_head (id, last_number, swept_number) values (1, 0, 0);

    -- Written in the transaction of what it tells: a stretch of a user's change log, or something else about the user.
    create table outbox (
        user_id       uuid not null,
        -- The first of the revisions; of something else, the one that the user had then.
        revision      bigint not null,
        id            uuid not null,
        last_revision bigint not null,
        kind          smallint not null check (kind between 1 and 5),
        payload       text,
        create_time   timestamptz not null,
        primary key (user_id, revision, id)
    );
    -- The same in one order for all. A number is only given to what was committed.
    create table events (
        user_id       uuid not null,
        number        bigint not null,
        revision      bigint not null,
        id            uuid not null,
        last_revision bigint not null,
        kind          smallint not null,
        payload       text,
        create_time   timestamptz not null,
        primary key (user_id, number)
    );
    create index events_number_idx on events (number);

    -- Those of administrators stand under a user who does not exist, zero.
    create table webhooks (
        user_id             uuid not null,
        id                  uuid not null,
        url                 text not null,
        event_types         integer not null,
        disable_reason      smallint,
        -- Sealed. The one before is valid until its time.
        secret              bytea not null,
        previous_secret     bytea,
        previous_until      timestamptz,
        create_time         timestamptz not null,
        update_time         timestamptz not null,
        last_success_time   timestamptz,
        last_failure_time   timestamptz,
        last_failure_code   integer,
        last_failure_reason smallint,
        primary key (user_id, id)
    );
    -- What a webhook has still to be told of a user: events from one number on up to another, and before them changes once more.
    create table webhook_queues (
        user_id           uuid not null,
        webhook_id        uuid not null,
        -- Whose webhook it is.
        owner_id          uuid not null,
        next_number       bigint not null,
        last_number       bigint not null,
        -- How far the first of them was told.
        next_revision     bigint not null,
        replay_revision   bigint,
        replay_until      bigint,
        attempts          smallint not null,
        next_attempt_time timestamptz,
        primary key (user_id, webhook_id)
    );
    create index webhook_queues_time_idx on webhook_queues (next_attempt_time) where next_attempt_time is not null;
    create index webhook_queues_webhook_idx on webhook_queues (webhook_id);

    -- What the reminders look for: when the next one of a task is told, in microseconds since 1970.
    create index tasks_remind_idx on tasks (((details->>'remind_time')::bigint)) where (details->>'remind_time') is not null;
end $$;
