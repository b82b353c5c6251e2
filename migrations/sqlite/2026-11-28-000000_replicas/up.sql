-- What lets replicas share work, and replicas of two versions one database.

-- Jobs of which one run serves all replicas. Nobody else does one before its lease is over, and whoever did it keeps the
-- lease until it is due again.
create table job_leases (
    job         text not null primary key,
    -- The process.
    holder      blob not null check (length(holder) = 16),
    expire_time integer not null
);

-- The version that a program has to know at least to work on this schema. A step that a program of the version before
-- can live with leaves it as it is; any other sets it to its own version.
alter table database_state add column compatible_from text not null default '20261128000000';
