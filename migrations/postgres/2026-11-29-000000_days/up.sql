-- Days, starts, time zones and annotations of tasks.

-- In a block: Citus hands an `alter table` on with all that was sent along with it.
do $$ begin
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true);
    -- What few tasks have, as JSON: the start, the due day with its end, the time zone, annotations. Absent where there is nothing,
    -- which costs a task nothing.
    alter table tasks add column details jsonb;

    -- Programs before this one cannot read the changes of such tasks.
    update database_state set compatible_from = '20261129000000';
end $$;
