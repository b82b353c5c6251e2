drop index revocations_number_idx;
alter table revocations drop column number;
drop table database_state;
