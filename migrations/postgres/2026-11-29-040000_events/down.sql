do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    update database_state set compatible_from = '20261129030000';
    delete from audit_events where type > 15;
    alter table audit_events drop constraint audit_events_type_check;
    alter table audit_events add constraint audit_events_type_check check (type between 1 and 15) not valid;
    delete from api_keys where scopes > 3;
    alter table api_keys drop constraint api_keys_scopes_check;
    alter table api_keys add constraint api_keys_scopes_check check (scopes between 1 and 3) not valid;
    drop table webhook_queues;
    drop table webhooks;
    drop table events;
    drop table outbox;
    drop table event_head;
    drop table event_listeners;
    alter table users drop column listened;
end $$;
