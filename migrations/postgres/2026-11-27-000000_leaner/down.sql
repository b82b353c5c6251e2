drop index tasks_live_completed_priority_idx;
create index tasks_live_completed_priority_idx
    on tasks (user_id, completed, priority, create_time, task_id) where delete_time is null;
create index tasks_live_priority_idx on tasks (user_id, priority, create_time, task_id) where delete_time is null;
create index tasks_live_completed_idx on tasks (user_id, completed, create_time, task_id) where delete_time is null;
alter table task_changes add foreign key (user_id) references users (id) on delete cascade;
alter table tasks add foreign key (user_id) references users (id) on delete cascade;
