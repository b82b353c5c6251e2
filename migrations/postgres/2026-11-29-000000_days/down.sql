-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    update database_state set compatible_from = '20261128000000';
    alter table tasks drop column details;
end $$;
