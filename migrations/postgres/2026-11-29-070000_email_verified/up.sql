-- Whether an address was proved, and tokens that prove another one.

-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    -- Here, where a login looks anyway. Nobody has proved one so far.
    alter table users add column email_verified boolean not null default false;
    -- The address that the account is to have; absent where the token is about the one it has.
    alter table mail_tokens add column new_email text;
    -- Programs before this one would keep an address as proved when another one takes its place.
    update database_state set compatible_from = '20261129070000';
end $$;
