-- Registrations that are answered again. Their caller has no account yet, so the account that was made is named by
-- itself: the answer goes when the account is deleted.
alter table requests add column made_user_id blob;
-- The hash of the password that was sent. Whoever sends the call again has to know it.
alter table requests add column password_hash text;
create index requests_made_idx on requests (made_user_id) where made_user_id is not null;
