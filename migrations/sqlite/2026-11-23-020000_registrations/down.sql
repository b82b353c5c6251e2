drop index requests_made_idx;
alter table requests drop column password_hash;
alter table requests drop column made_user_id;
