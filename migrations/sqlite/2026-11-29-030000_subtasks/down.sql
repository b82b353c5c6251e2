update database_state set compatible_from = '20261129010000';
drop index tasks_parent_idx;
alter table tasks drop column parent_id;
