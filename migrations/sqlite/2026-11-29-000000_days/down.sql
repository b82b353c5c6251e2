update database_state set compatible_from = '20261128000000';
alter table tasks drop column details;
