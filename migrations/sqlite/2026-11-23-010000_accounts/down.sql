drop index emails_user_idx;
drop index users_admins_idx;
drop table guards;
drop table audit_events;
drop table login_throttles;
drop table identities;
drop table api_keys;
drop table revocations;
alter table sessions drop column rotate_request_id;
