drop index tasks_unlisted_position_idx;
drop index tasks_list_position_idx;
create index tasks_position_idx on tasks (list_id, user_id, position) where delete_time is null;
