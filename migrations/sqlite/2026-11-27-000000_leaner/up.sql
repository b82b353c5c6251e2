-- Less to keep up with each write: no foreign keys where one connection writes anyway, and two indexes for the four lists
-- instead of four. SQLite takes no constraint off a table, so both tables are made anew.

-- A deletion of a user removes the rows by statement. `taskwire check` finds what would be left without its user.
create table tasks_anew (
    user_id         blob not null check (length(user_id) = 16),
    task_id         blob not null check (length(task_id) = 16),
    title           text not null,
    title_key       text not null,
    description     text,
    description_key text,
    completed       boolean not null check (completed in (0, 1)),
    priority        integer not null check (priority in (1, 2, 3)),
    due_time        integer,
    labels          text not null,
    create_time     integer not null,
    update_time     integer not null,
    complete_time   integer,
    delete_time     integer,
    purge_time      integer,
    revision        integer not null,
    primary key (user_id, task_id)
);
insert into tasks_anew select * from tasks;
drop table tasks;
alter table tasks_anew rename to tasks;

-- The default list, and the list by both `completed` and `priority`: those by one of them are merged out of its ranges.
create index tasks_live_idx on tasks (user_id, create_time, task_id) where delete_time is null;
create index tasks_live_completed_priority_idx
    on tasks (user_id, completed, priority, create_time, task_id) where delete_time is null;
-- What the purge looks for.
create index tasks_purge_idx on tasks (purge_time) where purge_time is not null;

create table task_changes_anew (
    user_id     blob not null check (length(user_id) = 16),
    revision    integer not null,
    type        integer not null check (type between 1 and 5),
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
-- What the compaction looks for.
create index task_changes_time_idx on task_changes (create_time);
