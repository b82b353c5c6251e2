-- Two indexes for the order of tasks, of what is in a list and of what is in none.

drop index tasks_position_idx;
-- The tasks of a list in their order, and those without one. Either index holds nothing that another list would look for, so
-- that no planner takes it for a list that names none.
create index tasks_list_position_idx on tasks (user_id, list_id, position) where delete_time is null and list_id is not null;
create index tasks_unlisted_position_idx on tasks (user_id, position) where delete_time is null and list_id is null;
