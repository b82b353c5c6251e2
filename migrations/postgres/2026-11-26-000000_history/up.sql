-- Which history the data has, so that one that was put back to an earlier state is told from the one of before; and an
-- order of the revocations that depends on nobody's clock.

create table database_state (
    id      smallint primary key check (id = 1),
    -- Revisions of another history mean other changes.
    history uuid not null,
    -- The cluster, the timeline, the database and the table on which this was last seen.
    seen_on text,
    -- On SQLite, rises with every start; a copy of before has a smaller one.
    mark    bigint not null
);
insert into database_state (id, history, seen_on, mark) values (1, gen_random_uuid(), null, 0);

-- The transaction that wrote the row: what was not finished at one look cannot have a number below the oldest that was
-- under way then. The default is for a service of the version before.
alter table revocations add column number bigint not null default (pg_current_xact_id()::text::bigint);
create index revocations_number_idx on revocations (number);
