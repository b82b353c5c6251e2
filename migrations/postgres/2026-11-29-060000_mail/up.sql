-- Mail that is still to be sent, and the tokens that it brings.

-- In a block: Citus hands a statement on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    -- Written in the transaction of what it tells of. No foreign key: a local table could not refer to one that is spread already.
    create table mails (
        user_id           uuid not null,
        id                uuid not null,
        kind              smallint not null check (kind between 1 and 99),
        -- To whom, and what is put into the template, a token among it: sealed.
        payload           bytea not null,
        attempts          smallint not null,
        next_attempt_time timestamptz not null,
        expire_time       timestamptz not null,
        primary key (user_id, id)
    );
    create index mails_time_idx on mails (next_attempt_time);

    -- What a mail brings and somebody shows again, by hashes. A row that is gone is spent.
    create table mail_tokens (
        user_id     uuid not null,
        id          uuid not null,
        purpose     smallint not null check (purpose between 1 and 99),
        secret_hash bytea not null,
        -- Hash of the account as it was: another password or address ends the token.
        proved_hash bytea not null,
        expire_time timestamptz not null,
        primary key (user_id, id)
    );
    -- What the sweep looks for.
    create index mail_tokens_expire_idx on mail_tokens (expire_time);
end $$;
