do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    update database_state set compatible_from = '20261129030000';
    drop index tasks_remind_idx;
    drop table webhook_queues;
    drop table webhooks;
    drop table events;
    drop table outbox;
    drop table event_head;
    drop table event_listeners;
    alter table users drop column listened;
end $$;
