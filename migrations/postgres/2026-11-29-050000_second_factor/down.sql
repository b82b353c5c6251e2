-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    update database_state set compatible_from = '20261129040000';
    delete from audit_events where type > 15;
    alter table audit_events drop constraint audit_events_type_check;
    alter table audit_events add constraint audit_events_type_check check (type between 1 and 15);
    delete from api_keys where scopes > 3;
    alter table api_keys drop constraint api_keys_scopes_check;
    alter table api_keys add constraint api_keys_scopes_check check (scopes between 1 and 3);
    drop table login_challenges;
    drop table recovery_codes;
    drop table second_factors;
    alter table users drop column totp_enabled;
    alter table users drop column kind;
end $$;
