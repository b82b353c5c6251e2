-- Whether an address was proved, and tokens that prove another one.

-- Here, where a login looks anyway. Nobody has proved one so far.
alter table users add column email_verified boolean not null default 0 check (email_verified in (0, 1));
-- The address that the account is to have; absent where the token is about the one it has.
alter table mail_tokens add column new_email text;
-- Programs before this one would keep an address as proved when another one takes its place.
update database_state set compatible_from = '20261129070000';
