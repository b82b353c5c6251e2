-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    update database_state set compatible_from = '20261129010000';
    drop index tasks_parent_idx;
    alter table tasks drop column parent_id;
end $$;
