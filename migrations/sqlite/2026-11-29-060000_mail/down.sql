delete from audit_events where type = 23;
drop table mail_tokens;
drop table mails;
