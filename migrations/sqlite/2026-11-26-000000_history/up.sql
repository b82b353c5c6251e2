-- Which history the data has, so that one that was put back to an earlier state is told from the one of before; and an
-- order of the revocations that depends on nobody's clock.

create table database_state (
    id      integer not null primary key check (id = 1),
    -- Revisions of another history mean other changes.
    history blob not null check (length(history) = 16),
    -- `file` once there is a file beside this one that says what the last change was.
    seen_on text,
    -- Rises with every start; a copy of before has a smaller one.
    mark    integer not null
);
insert into database_state (id, history, seen_on, mark) values (1, randomblob(16), null, 0);

-- Rises with every transaction that writes here.
alter table revocations add column number integer not null default 0;
create index revocations_number_idx on revocations (number);
