-- Revocation, API keys, other issuers, the throttling of logins, and the audit trail.

-- The caller's id of the refresh that retired `previous_hash`: the same call may come again.
alter table sessions add column rotate_request_id blob;

-- What has been taken back lately: sessions, API keys, and users as a whole (then `subject_id` is the user). Processes
-- read the newest rows every second. A row is of use as long as an access token lives, then it is swept away. No foreign
-- key: it outlives a deleted user.
create table revocations (
    user_id    blob not null check (length(user_id) = 16),
    subject_id blob not null check (length(subject_id) = 16),
    -- False once it was given back, as when a user is enabled again.
    revoked    boolean not null check (revoked in (0, 1)),
    time       integer not null,
    primary key (user_id, subject_id)
) without rowid;
create index revocations_time_idx on revocations (time);

create table api_keys (
    user_id      blob not null references users (id) on delete cascade,
    id           blob not null check (length(id) = 16),
    display_name text not null,
    -- 1 reads tasks, 2 writes them.
    scopes       integer not null check (scopes between 1 and 3),
    secret_hash  blob not null,
    create_time  integer not null,
    expire_time  integer,
    primary key (user_id, id)
) without rowid;

-- Who is who at other issuers, keyed by a hash of issuer and subject. Unique across users, so a table of its own.
create table identities (
    identity_key blob not null primary key,
    user_id      blob not null check (length(user_id) = 16),
    issuer       text not null,
    subject      text not null,
    create_time  integer not null
) without rowid;
create index identities_user_idx on identities (user_id);

-- Wrong passwords lately, by a keyed hash of the account, of the address, or of both.
create table login_throttles (
    throttle_key blob not null primary key,
    failures     integer not null,
    update_time  integer not null
) without rowid;
create index login_throttles_update_idx on login_throttles (update_time);

-- What happened to an account. No foreign key: it outlives a deleted user.
create table audit_events (
    user_id     blob not null check (length(user_id) = 16),
    id          blob not null check (length(id) = 16),
    type        integer not null check (type between 1 and 15),
    actor_id    blob,
    session_id  blob,
    api_key_id  blob,
    peer        text not null,
    request_id  text not null,
    create_time integer not null,
    primary key (user_id, id)
) without rowid;
-- What the sweep looks for.
create index audit_events_create_idx on audit_events (create_time);

-- Rows that are locked to keep a rule that spans users: one per rule. SQLite has one writer and needs no such lock; the
-- statements are the same on both engines.
create table guards (
    name    text not null primary key,
    version integer not null
) without rowid;
insert into guards (name, version) values ('admins', 0);
create index users_admins_idx on users (id) where role = 2;

-- The list of users joins their folded emails.
create index emails_user_idx on emails (user_id);
