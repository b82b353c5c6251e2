-- Subtasks: tasks below another one.

alter table tasks add column parent_id blob check (length(parent_id) = 16);
-- The subtasks of a task. How many there are, is noted at the task itself.
create index tasks_parent_idx on tasks (user_id, parent_id) where parent_id is not null;

-- Programs before this one would not keep that number.
update database_state set compatible_from = '20261129030000';
