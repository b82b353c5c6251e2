-- Lists of tasks, and the order that their owner gives them.

-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    create table task_lists (
        user_id     uuid not null,
        list_id     uuid not null,
        title       text not null,
        position    text collate "C" not null,
        create_time timestamptz not null,
        update_time timestamptz not null,
        delete_time timestamptz,
        purge_time  timestamptz,
        revision    bigint not null,
        -- What a deletion or restoration has still to do with its tasks: 1 delete them, 2 take them out, 3 restore them.
        unfinished  smallint check (unfinished in (1, 2, 3)),
        primary key (user_id, list_id)
    );
    -- What the purge looks for.
    create index task_lists_purge_idx on task_lists (purge_time) where purge_time is not null;
    create index task_lists_unfinished_idx on task_lists (user_id, list_id) where unfinished is not null;

    alter table tasks add column list_id uuid;
    -- Sorts bytewise, and is never the same for two tasks of a user.
    alter table tasks add column position text collate "C" not null default '';
    -- In the order of creation, and before everything that is placed from now on.
    update tasks set position = numbered.position from (
        select user_id, task_id,
            '0' || lpad((row_number() over (partition by user_id order by create_time, task_id))::text, 9, '0') as position
        from tasks
    ) as numbered where tasks.user_id = numbered.user_id and tasks.task_id = numbered.task_id;
    -- The tasks of a list, or those without one, in their order. The list leads, so that what names none has little to gain here.
    create index tasks_position_idx on tasks (list_id, user_id, position) where delete_time is null;

    -- The changes of lists stand beside those of tasks: 11 to 15 are theirs.
    alter table task_changes drop constraint task_changes_type_check;
    alter table task_changes add constraint task_changes_type_check
        check (type between 1 and 5 or type between 11 and 15) not valid;

    -- Programs before this one write tasks without a place, and cannot read the changes of lists.
    update database_state set compatible_from = '20261129010000';
end $$;
