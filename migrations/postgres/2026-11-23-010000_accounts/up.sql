-- Revocation, API keys, other issuers, the throttling of logins, and the audit trail.

-- The caller's id of the refresh that retired `previous_hash`: the same call may come again.
alter table sessions add column rotate_request_id uuid;

-- What has been taken back lately: sessions, API keys, and users as a whole (then `subject_id` is the user). Replicas
-- read the newest rows every second. A row is of use as long as an access token lives, then it is swept away. No foreign
-- key: it outlives a deleted user.
create table revocations (
    user_id    uuid not null,
    subject_id uuid not null,
    -- False once it was given back, as when a user is enabled again.
    revoked    boolean not null,
    time       timestamptz not null,
    primary key (user_id, subject_id)
);
create index revocations_time_idx on revocations (time);

create table api_keys (
    user_id      uuid not null references users (id) on delete cascade,
    id           uuid not null,
    display_name text not null,
    -- 1 reads tasks, 2 writes them.
    scopes       smallint not null check (scopes between 1 and 3),
    secret_hash  bytea not null,
    create_time  timestamptz not null,
    expire_time  timestamptz,
    primary key (user_id, id)
);

-- Who is who at other issuers, keyed by a hash of issuer and subject. Unique across users, so a table of its own.
create table identities (
    identity_key bytea primary key,
    user_id      uuid not null,
    issuer       text not null,
    subject      text not null,
    create_time  timestamptz not null
);
create index identities_user_idx on identities (user_id);

-- Wrong passwords lately, by a keyed hash of the account, of the address, or of both.
create table login_throttles (
    throttle_key bytea primary key,
    failures     integer not null,
    update_time  timestamptz not null
);
create index login_throttles_update_idx on login_throttles (update_time);

-- What happened to an account. No foreign key: it outlives a deleted user.
create table audit_events (
    user_id     uuid not null,
    id          uuid not null,
    type        smallint not null check (type between 1 and 15),
    actor_id    uuid,
    session_id  uuid,
    api_key_id  uuid,
    peer        text not null,
    request_id  text not null,
    create_time timestamptz not null,
    primary key (user_id, id)
);
-- What the sweep looks for.
create index audit_events_create_idx on audit_events (create_time);

-- Rows that are locked to keep a rule that spans users: one per rule.
create table guards (
    name    text primary key,
    version bigint not null
);
insert into guards (name, version) values ('admins', 0);
create index users_admins_idx on users (id) where role = 2;

-- The list of users joins their folded emails.
create index emails_user_idx on emails (user_id);
