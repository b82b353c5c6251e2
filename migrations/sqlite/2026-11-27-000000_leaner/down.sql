-- As in the first schema.

create table tasks_before (
    user_id         blob not null references users (id) on delete cascade,
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
insert into tasks_before select * from tasks;
drop table tasks;
alter table tasks_before rename to tasks;
create index tasks_live_idx on tasks (user_id, create_time, task_id) where delete_time is null;
create index tasks_live_completed_idx on tasks (user_id, completed, create_time, task_id) where delete_time is null;
create index tasks_live_priority_idx on tasks (user_id, priority, create_time, task_id) where delete_time is null;
create index tasks_live_completed_priority_idx
    on tasks (user_id, completed, priority, create_time, task_id) where delete_time is null;
create index tasks_purge_idx on tasks (purge_time) where purge_time is not null;

create table task_changes_before (
    user_id     blob not null references users (id) on delete cascade,
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
insert into task_changes_before select * from task_changes;
drop table task_changes;
alter table task_changes_before rename to task_changes;
create index task_changes_time_idx on task_changes (create_time);
