alter table database_state drop column compatible_from;
drop table job_leases;
