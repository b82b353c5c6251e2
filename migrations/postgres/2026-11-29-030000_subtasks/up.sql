-- Subtasks: tasks below another one.

-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    alter table tasks add column parent_id uuid;
    -- The subtasks of a task. How many there are, is noted at the task itself.
    create index tasks_parent_idx on tasks (user_id, parent_id) where parent_id is not null;

    -- Programs before this one would not keep that number.
    update database_state set compatible_from = '20261129030000';
end $$;
