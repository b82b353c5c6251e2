-- In a block: Citus hands a step on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    drop index tasks_unlisted_position_idx;
    drop index tasks_list_position_idx;
    create index tasks_position_idx on tasks (list_id, user_id, position) where delete_time is null;
end $$;
