-- The first schema: accounts, sessions, tasks and the log of their changes.
-- `user_id` leads every key, so that the tables can be spread by user. No sequences, no triggers.

create table users (
    id            uuid primary key,
    email         text not null,
    display_name  text not null,
    role          smallint not null check (role in (1, 2)),
    password_hash text,
    create_time   timestamptz not null,
    update_time   timestamptz not null,
    disable_time  timestamptz,
    version       bigint not null,
    -- The number of the last change to this user's tasks. Raising it also orders that user's writes.
    revision      bigint not null,
    -- How many tasks are not deleted: the quota is checked without counting rows.
    live_tasks    bigint not null,
    -- Changes up to this revision are no longer kept.
    compacted_revision bigint not null
) with (fillfactor = 60); -- the counters change with every write: room for updates in place

-- What is unique across users has a table of its own, keyed by the folded email.
create table emails (
    email_key text collate "C" primary key,
    user_id   uuid not null
);

create table sessions (
    user_id         uuid not null references users (id) on delete cascade,
    id              uuid not null,
    device          text not null,
    peer            text not null,
    create_time     timestamptz not null,
    last_use_time   timestamptz not null,
    expire_time     timestamptz not null,
    revoke_time     timestamptz,
    family_hash     bytea not null,
    refresh_hash    bytea not null,
    previous_hash   bytea,
    successor_salt  bytea,
    rotate_time     timestamptz not null,
    primary key (user_id, id)
);

create table tasks (
    user_id         uuid not null references users (id) on delete cascade,
    task_id         uuid not null,
    title           text not null,
    title_key       text collate "C" not null,
    description     text,
    description_key text collate "C",
    completed       boolean not null,
    priority        smallint not null check (priority in (1, 2, 3)),
    due_time        timestamptz,
    labels          jsonb not null,
    create_time     timestamptz not null,
    update_time     timestamptz not null,
    complete_time   timestamptz,
    delete_time     timestamptz,
    purge_time      timestamptz,
    revision        bigint not null,
    primary key (user_id, task_id)
) with (fillfactor = 90);

-- The default list and the lists by `completed`, by `priority` and by both, each in creation order.
create index tasks_live_idx on tasks (user_id, create_time, task_id) where delete_time is null;
create index tasks_live_completed_idx on tasks (user_id, completed, create_time, task_id) where delete_time is null;
create index tasks_live_priority_idx on tasks (user_id, priority, create_time, task_id) where delete_time is null;
create index tasks_live_completed_priority_idx
    on tasks (user_id, completed, priority, create_time, task_id) where delete_time is null;
-- What the purge looks for.
create index tasks_purge_idx on tasks (purge_time) where purge_time is not null;

create table task_changes (
    user_id     uuid not null references users (id) on delete cascade,
    revision    bigint not null,
    type        smallint not null check (type between 1 and 5),
    task_id     uuid not null,
    fields      smallint not null,
    -- The task as of this change and as it was before, as JSON. A purge keeps neither, a creation has no before.
    state       text,
    before      text,
    create_time timestamptz not null,
    primary key (user_id, revision)
);
-- What the compaction looks for. Rows come in the order of time, so a block range index is enough and costs nothing.
create index task_changes_time_idx on task_changes using brin (create_time) with (autosummarize = on);

-- The answers to calls that carried a `request_id`, for whoever sends the same call again.
create table requests (
    -- The caller; all zero for a caller without an account.
    user_id     uuid not null,
    request_id  uuid not null,
    -- SHA-256 of method and message.
    fingerprint bytea not null,
    -- The encoded answer.
    answer      bytea not null,
    create_time timestamptz not null,
    primary key (user_id, request_id)
);
create index requests_time_idx on requests using brin (create_time) with (autosummarize = on);

-- Keys that all replicas share and that no caller ever sees.
create table service_secrets (
    name        text primary key,
    value       bytea not null,
    create_time timestamptz not null
);
