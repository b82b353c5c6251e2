-- The first schema: accounts, sessions, tasks and the log of their changes.
-- A UUID is a BLOB of 16 bytes, a time an INTEGER of microseconds since 1970.

create table users (
    id            blob not null primary key check (length(id) = 16),
    email         text not null,
    display_name  text not null,
    role          integer not null check (role in (1, 2)),
    password_hash text,
    create_time   integer not null,
    update_time   integer not null,
    disable_time  integer,
    version       integer not null,
    -- The number of the last change to this user's tasks.
    revision      integer not null,
    -- How many tasks are not deleted: the quota is checked without counting rows.
    live_tasks    integer not null,
    -- Changes up to this revision are no longer kept.
    compacted_revision integer not null
) without rowid;

-- What is unique across users has a table of its own, keyed by the folded email.
create table emails (
    email_key text not null primary key,
    user_id   blob not null check (length(user_id) = 16)
) without rowid;

create table sessions (
    user_id         blob not null references users (id) on delete cascade,
    id              blob not null check (length(id) = 16),
    device          text not null,
    peer            text not null,
    create_time     integer not null,
    last_use_time   integer not null,
    expire_time     integer not null,
    revoke_time     integer,
    family_hash     blob not null,
    refresh_hash    blob not null,
    previous_hash   blob,
    successor_salt  blob,
    rotate_time     integer not null,
    primary key (user_id, id)
) without rowid;

create table tasks (
    user_id         blob not null references users (id) on delete cascade,
    task_id         blob not null check (length(task_id) = 16),
    title           text not null,
    title_key       text not null,
    description     text,
    description_key text,
    completed       boolean not null check (completed in (0, 1)),
    priority        integer not null check (priority in (1, 2, 3)),
    due_time        integer,
    labels          text not null,
    create_time     integer not null,
    update_time     integer not null,
    complete_time   integer,
    delete_time     integer,
    purge_time      integer,
    revision        integer not null,
    primary key (user_id, task_id)
);

-- The default list and the lists by `completed`, by `priority` and by both, each in creation order.
create index tasks_live_idx on tasks (user_id, create_time, task_id) where delete_time is null;
create index tasks_live_completed_idx on tasks (user_id, completed, create_time, task_id) where delete_time is null;
create index tasks_live_priority_idx on tasks (user_id, priority, create_time, task_id) where delete_time is null;
create index tasks_live_completed_priority_idx
    on tasks (user_id, completed, priority, create_time, task_id) where delete_time is null;
-- What the purge looks for.
create index tasks_purge_idx on tasks (purge_time) where purge_time is not null;

create table task_changes (
    user_id     blob not null references users (id) on delete cascade,
    revision    integer not null,
    type        integer not null check (type between 1 and 5),
    task_id     blob not null,
    fields      integer not null,
    -- The task as of this change and as it was before, as JSON. A purge keeps neither, a creation has no before.
    state       text,
    before      text,
    create_time integer not null,
    primary key (user_id, revision)
) without rowid;
-- What the compaction looks for.
create index task_changes_time_idx on task_changes (create_time);

-- The answers to calls that carried a `request_id`, for whoever sends the same call again.
create table requests (
    -- The caller; all zero for a caller without an account.
    user_id     blob not null check (length(user_id) = 16),
    request_id  blob not null check (length(request_id) = 16),
    -- SHA-256 of method and message.
    fingerprint blob not null,
    -- The encoded answer.
    answer      blob not null,
    create_time integer not null,
    primary key (user_id, request_id)
);
create index requests_time_idx on requests (create_time);

-- Keys that no caller ever sees.
create table service_secrets (
    name        text not null primary key,
    value       blob not null,
    create_time integer not null
) without rowid;
