drop table service_secrets;
drop table requests;
drop table task_changes;
drop table tasks;
drop table sessions;
drop table emails;
drop table users;
