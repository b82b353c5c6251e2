-- Lists of tasks, and the order that their owner gives them.

create table task_lists (
    user_id     blob not null check (length(user_id) = 16),
    list_id     blob not null check (length(list_id) = 16),
    title       text not null,
    position    text not null,
    create_time integer not null,
    update_time integer not null,
    delete_time integer,
    purge_time  integer,
    revision    integer not null,
    -- What a deletion or restoration has still to do with its tasks: 1 delete them, 2 take them out, 3 restore them.
    unfinished  integer check (unfinished in (1, 2, 3)),
    primary key (user_id, list_id)
);
-- What the purge looks for.
create index task_lists_purge_idx on task_lists (purge_time) where purge_time is not null;
create index task_lists_unfinished_idx on task_lists (user_id, list_id) where unfinished is not null;

alter table tasks add column list_id blob check (length(list_id) = 16);
-- Sorts bytewise, and is never the same for two tasks of a user.
alter table tasks add column position text not null default '';
-- In the order of creation, and before everything that is placed from now on.
update tasks set position = numbered.position from (
    select user_id, task_id,
        printf('0%09d', row_number() over (partition by user_id order by create_time, task_id)) as position
    from tasks
) as numbered where tasks.user_id = numbered.user_id and tasks.task_id = numbered.task_id;
-- The tasks of a list, or those without one, in their order. The list leads, so that what names none has little to gain here.
create index tasks_position_idx on tasks (list_id, user_id, position) where delete_time is null;

-- The changes of lists stand beside those of tasks: 11 to 15 are theirs. SQLite changes no constraint, so the table is
-- made anew.
create table task_changes_anew (
    user_id     blob not null check (length(user_id) = 16),
    revision    integer not null,
    type        integer not null check (type between 1 and 5 or type between 11 and 15),
    -- The task, or the list.
    task_id     blob not null,
    fields      integer not null,
    -- The task as of this change and as it was before, as JSON. A purge keeps neither, a creation has no before.
    state       text,
    before      text,
    create_time integer not null,
    primary key (user_id, revision)
) without rowid;
insert into task_changes_anew select * from task_changes;
drop table task_changes;
alter table task_changes_anew rename to task_changes;
create index task_changes_time_idx on task_changes (create_time);

-- Programs before this one write tasks without a place, and cannot read the changes of lists.
update database_state set compatible_from = '20261129010000';
