update database_state set compatible_from = '20261129000000';
-- A log without a gap: what is older than the last change of a list goes with it.
update users set compacted_revision = last.revision from (
    select user_id, max(revision) as revision from task_changes where type > 10 group by user_id
) as last where users.id = last.user_id and users.compacted_revision < last.revision;
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
insert into task_changes_anew select task_changes.* from task_changes join users on users.id = task_changes.user_id
    where task_changes.revision > users.compacted_revision;
drop table task_changes;
alter table task_changes_anew rename to task_changes;
create index task_changes_time_idx on task_changes (create_time);
drop index tasks_position_idx;
alter table tasks drop column position;
alter table tasks drop column list_id;
drop table task_lists;
