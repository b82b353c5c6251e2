-- In a block: Citus hands a statement on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    delete from audit_events where type = 23;
    drop table mail_tokens;
    drop table mails;
end $$;
