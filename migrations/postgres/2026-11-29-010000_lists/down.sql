-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    update database_state set compatible_from = '20261129000000';
    -- A log without a gap: what is older than the last change of a list goes with it.
    update users set compacted_revision = last.revision from (
        select user_id, max(revision) as revision from task_changes where type > 10 group by user_id
    ) as last where users.id = last.user_id and users.compacted_revision < last.revision;
    delete from task_changes using users where users.id = task_changes.user_id and task_changes.revision <= users.compacted_revision;
    alter table task_changes drop constraint task_changes_type_check;
    alter table task_changes add constraint task_changes_type_check check (type between 1 and 5) not valid;
    drop index tasks_position_idx;
    alter table tasks drop column position;
    alter table tasks drop column list_id;
    drop table task_lists;
end $$;
