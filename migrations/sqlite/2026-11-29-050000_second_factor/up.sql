-- Second factors, and accounts of services.

-- 1 a person, 2 a service.
alter table users add column kind integer not null default 1 check (kind in (1, 2));
-- Whether a login asks for a code. Here, where a login looks anyway.
alter table users add column totp_enabled boolean not null default 0 check (totp_enabled in (0, 1));

-- The secret that codes are made of, sealed; not confirmed yet while `confirm_time` is absent. No foreign key, as on PostgreSQL.
-- A deletion removes the row by statement, as with all tables below.
create table second_factors (
    user_id      blob not null primary key check (length(user_id) = 16),
    secret       blob not null,
    create_time  integer not null,
    confirm_time integer,
    -- The step of the last code that was taken: it and those before it are spent.
    last_step    integer not null
) without rowid;

-- What takes the place of a code when there is none, by hashes. A row that is gone is spent.
create table recovery_codes (
    user_id   blob not null check (length(user_id) = 16),
    code_hash blob not null,
    primary key (user_id, code_hash)
) without rowid;

-- Logins whose password was right and whose code is missing.
create table login_challenges (
    user_id     blob not null check (length(user_id) = 16),
    id          blob not null check (length(id) = 16),
    secret_hash blob not null,
    -- Hash of the hash that the password was compared with: another password ends the challenge.
    proved_hash blob not null,
    device      text not null,
    tries       integer not null,
    expire_time integer not null,
    primary key (user_id, id)
) without rowid;
-- What the sweep looks for.
create index login_challenges_expire_idx on login_challenges (expire_time);

-- There are more types and scopes now, and there will be more. SQLite changes no constraint, so both tables are made anew.
create table audit_events_anew (
    user_id     blob not null check (length(user_id) = 16),
    id          blob not null check (length(id) = 16),
    type        integer not null check (type between 1 and 99),
    actor_id    blob,
    session_id  blob,
    api_key_id  blob,
    peer        text not null,
    request_id  text not null,
    create_time integer not null,
    primary key (user_id, id)
) without rowid;
insert into audit_events_anew select * from audit_events;
drop table audit_events;
alter table audit_events_anew rename to audit_events;
-- What the sweep looks for.
create index audit_events_create_idx on audit_events (create_time);

create table api_keys_anew (
    user_id      blob not null references users (id) on delete cascade,
    id           blob not null check (length(id) = 16),
    display_name text not null,
    scopes       integer not null check (scopes between 1 and 255),
    secret_hash  blob not null,
    create_time  integer not null,
    expire_time  integer,
    primary key (user_id, id)
) without rowid;
insert into api_keys_anew select * from api_keys;
drop table api_keys;
alter table api_keys_anew rename to api_keys;

-- Programs before this one would let in who has not shown a code.
update database_state set compatible_from = '20261129050000';
