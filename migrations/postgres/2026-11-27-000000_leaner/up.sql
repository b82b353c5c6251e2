-- Less to keep up with each write: no foreign keys where the user's row is locked anyway, and two indexes for the four
-- lists instead of four.

-- A deletion of a user removes the rows by statement, under the lock of the user's row. `taskwire check` finds what would
-- be left without its user.
alter table tasks drop constraint tasks_user_id_fkey;
alter table task_changes drop constraint task_changes_user_id_fkey;

-- The lists by `completed` or by `priority` alone are merged out of ranges of the index of both.
drop index tasks_live_completed_idx;
drop index tasks_live_priority_idx;
drop index tasks_live_completed_priority_idx;
-- `nulls first` says nothing about these columns, which are never null: it makes the order of this index another one
-- than that of `tasks_live_idx`, so that a list that names it can only be read from here.
create index tasks_live_completed_priority_idx
    on tasks (user_id, completed, priority, create_time nulls first, task_id nulls first) where delete_time is null;
