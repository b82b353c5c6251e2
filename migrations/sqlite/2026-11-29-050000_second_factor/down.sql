update database_state set compatible_from = '20261129040000';
create table audit_events_anew (
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
insert into audit_events_anew select * from audit_events where type <= 15;
drop table audit_events;
alter table audit_events_anew rename to audit_events;
-- What the sweep looks for.
create index audit_events_create_idx on audit_events (create_time);

create table api_keys_anew (
    user_id      blob not null references users (id) on delete cascade,
    id           blob not null check (length(id) = 16),
    display_name text not null,
    scopes       integer not null check (scopes between 1 and 3),
    secret_hash  blob not null,
    create_time  integer not null,
    expire_time  integer,
    primary key (user_id, id)
) without rowid;
insert into api_keys_anew select * from api_keys where scopes <= 3;
drop table api_keys;
alter table api_keys_anew rename to api_keys;

drop table login_challenges;
drop table recovery_codes;
drop table second_factors;
alter table users drop column totp_enabled;
alter table users drop column kind;
