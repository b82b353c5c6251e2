-- Mail that is still to be sent, and the tokens that it brings.

-- Written in the transaction of what it tells of. No foreign key, as on PostgreSQL.
create table mails (
    user_id           blob not null check (length(user_id) = 16),
    id                blob not null check (length(id) = 16),
    kind              integer not null check (kind between 1 and 99),
    -- To whom, and what is put into the template, a token among it: sealed.
    payload           blob not null,
    attempts          integer not null,
    next_attempt_time integer not null,
    expire_time       integer not null,
    primary key (user_id, id)
) without rowid;
create index mails_time_idx on mails (next_attempt_time);

-- What a mail brings and somebody shows again, by hashes. A row that is gone is spent.
create table mail_tokens (
    user_id     blob not null check (length(user_id) = 16),
    id          blob not null check (length(id) = 16),
    purpose     integer not null check (purpose between 1 and 99),
    secret_hash blob not null,
    -- Hash of the account as it was: another password or address ends the token.
    proved_hash blob not null,
    expire_time integer not null,
    primary key (user_id, id)
) without rowid;
-- What the sweep looks for.
create index mail_tokens_expire_idx on mail_tokens (expire_time);
