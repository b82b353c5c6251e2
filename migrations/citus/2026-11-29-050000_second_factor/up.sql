-- Second factors, and accounts of services, where the tables are spread already: the same step as the one for PostgreSQL, with a
-- column and its check apart, as Citus takes them.

-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    -- 1 a person, 2 a service.
    alter table users add column kind smallint not null default 1;
    alter table users add constraint users_kind_check check (kind in (1, 2));
    -- Whether a login asks for a code. Here, where a login looks anyway.
    alter table users add column totp_enabled boolean not null default false;

    -- The secret that codes are made of, sealed; not confirmed yet while `confirm_time` is absent. No foreign key: a local table
    -- could not refer to one that is spread already. A deletion removes the row by statement, as with all tables below.
    create table second_factors (
        user_id      uuid not null primary key,
        secret       bytea not null,
        create_time  timestamptz not null,
        confirm_time timestamptz,
        -- The step of the last code that was taken: it and those before it are spent.
        last_step    bigint not null
    );

    -- What takes the place of a code when there is none, by hashes. A row that is gone is spent.
    create table recovery_codes (
        user_id   uuid not null,
        code_hash bytea not null,
        primary key (user_id, code_hash)
    );

    -- Logins whose password was right and whose code is missing.
    create table login_challenges (
        user_id      uuid not null,
        id           uuid not null,
        secret_hash  bytea not null,
        -- Hash of the hash that the password was compared with: another password ends the challenge.
        proved_hash  bytea not null,
        device       text not null,
        tries        smallint not null,
        expire_time  timestamptz not null,
        primary key (user_id, id)
    );
    -- What the sweep looks for.
    create index login_challenges_expire_idx on login_challenges (expire_time);

    -- There are more types and scopes now, and there will be more.
    alter table audit_events drop constraint audit_events_type_check;
    alter table audit_events add constraint audit_events_type_check check (type between 1 and 99);
    alter table api_keys drop constraint api_keys_scopes_check;
    alter table api_keys add constraint api_keys_scopes_check check (scopes between 1 and 255);

    -- Programs before this one would let in who has not shown a code.
    update database_state set compatible_from = '20261129050000';
end $$;
