//! What a URL may say, and what is said of one that is wrong.

use taskwire::storage::{OpenError, Storage};

use super::run;
use crate::support::database::limits;

#[test]
fn every_server_is_named() {
    run(async {
        for (url, described) in [
            ("postgres://ada:geheim@db.example/tasks", "db.example/tasks"),
            ("postgres://ada:geheim@one:5432,two:5433/tasks", "one,two:5433/tasks"),
            (
                "postgresql://ada:geheim@one,[2001:db8::1]:6432,[::1]/tasks",
                "one,[2001:db8::1]:6432,[::1]/tasks",
            ),
            ("postgres://ada@%2Frun%2Fpostgresql:6432,two/tasks", "/run/postgresql:6432,two/tasks"),
            ("postgres:///tasks?host=one,two&port=5433&user=ada&password=geheim", "one:5433,two:5433/tasks"),
            ("postgres://ada@/tasks?host=one,::1,/run/pg&port=1,,3", "one:1,[::1],/run/pg:3/tasks"),
            ("postgres://ada@:6432/tasks?host=/run/postgresql", "/run/postgresql:6432/tasks"),
            ("postgres://ada@one,two/tasks?port=6432", "one:6432,two:6432/tasks"),
            ("postgres://ada@/tasks?hostaddr=10.0.0.1,::1", "10.0.0.1,[::1]/tasks"),
            ("postgres://ada@one,two/tasks?hostaddr=10.0.0.1,10.0.0.2", "one,two/tasks"),
            ("postgres://ada@one/x?dbname=tasks", "one/tasks"),
            ("postgres://ada%40home:gehe%23im@one/my%20tasks", "one/my tasks"),
            ("postgres://ada:ge@heim@one/tasks", "one/tasks"),
            ("postgres://ada:geheim@one/tasks\n", "one/tasks"),
        ] {
            let storage = Storage::open(url, limits()).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(storage.describe(), format!("PostgreSQL at {described}"), "{url}");
            assert!(!format!("{storage:?}").contains("geheim"), "{url}");
        }
    });
}

#[test]
fn everything_that_can_be_asked_is_understood() {
    run(async {
        for asked in [
            "target_session_attrs=any",
            "target_session_attrs=read-write",
            "target_session_attrs=primary",
            "load_balance_hosts=disable",
            "load_balance_hosts=random",
            "connect_timeout=3",
            "connect_timeout=0",
            "sslmode=disable",
            "sslmode=allow",
            "sslmode=prefer",
            "sslmode=require",
            "sslmode=require&sslnegotiation=direct",
            "sslmode=disable&sslrootcert=missing.pem&sslcert=missing.pem&sslkey=missing.pem",
            "options=-c%20search_path%3D%27a%20b%27%5C&application_name=it%27s%20mine",
            "keepalives=1&keepalives_idle=5&keepalives_interval=5&keepalives_retries=5&tcp_user_timeout=5",
            "channel_binding=disable",
            "password=geheim",
        ] {
            let url = format!("postgres://ada@one,two/tasks?{asked}");
            assert!(Storage::open(&url, limits()).is_ok(), "{url}");
        }
    });
}

#[test]
fn what_is_wrong_is_named() {
    run(async {
        for (behind, named) in [
            ("", "host"),
            ("/tasks", "host"),
            ("ada:geheim@/tasks", "host"),
            ("ada:geheim@one,,two/tasks", "empty name"),
            ("ada:geheim@one,/tasks", "empty name"),
            ("ada:geheim@one:0/tasks", "port"),
            ("ada:geheim@one:65536,two/tasks", "port"),
            ("ada:geheim@one:geheim/tasks", "port"),
            ("ada:geheim@one:1:2/tasks", "brackets"),
            ("ada:geheim@::1/tasks", "brackets"),
            ("ada:geheim@[::1/tasks", "["),
            ("ada:geheim@[one]/tasks", "IPv6"),
            ("ada:geheim@[::1]5432/tasks", "]"),
            ("ada:geheim@one two/tasks", "blank"),
            ("ada:geheim@one%20two/tasks", "host"),
            ("ada:gehe%im@one/tasks", "%25"),
            ("ada:gehe%00im@one/tasks", "%00"),
            ("ada:gehe%ffim@one/tasks", "UTF-8"),
            ("ada:gehe/im@one/tasks", "%2F"),
            ("ada:gehe#im@one/tasks", "%23"),
            ("ada:geheim@one/tasks#geheim", "%23"),
            ("ada:geheim@one,two/tasks?port=1,2,3", "port"),
            ("ada:geheim@one:1,two:2/tasks?port=3", "ports twice"),
            ("ada:geheim@one/tasks?host=two", "hosts twice"),
            ("ada:geheim@one,two/tasks?hostaddr=10.0.0.1", "hostaddr"),
            ("ada:geheim@one/tasks?hostaddr=geheim", "hostaddr"),
            ("ada:geheim@one/tasks?sslmode=geheim", "verify-ca"),
            ("ada:geheim@one/tasks?sslmode=verify-ca", "sslrootcert"),
            ("ada:geheim@one/tasks?sslmode=verify-ca&sslrootcert=missing.pem", "sslrootcert"),
            ("ada:geheim@one/tasks?sslmode=require&sslrootcert=missing.pem", "sslrootcert"),
            ("ada:geheim@one/tasks?sslmode=require&sslrootcert=system", "verify-full"),
            ("ada:geheim@one/tasks?sslnegotiation=direct", "sslmode"),
            ("ada:geheim@one/tasks?sslcert=mine.pem", "sslkey"),
            ("ada:geheim@one/tasks?sslkey=mine.pem", "sslcert"),
            ("ada:geheim@one/tasks?sslcert=missing.pem&sslkey=missing.pem", "sslcert"),
            ("ada:geheim@one/tasks?sslcrl=geheim", "sslcrl"),
            ("ada:geheim@one/tasks?target_session_attrs=standby", "target_session_attrs"),
            ("ada:geheim@one/tasks?target_session_attrs=read-only", "target_session_attrs"),
            ("ada:geheim@one/tasks?target_session_attrs=geheim", "target_session_attrs"),
            ("ada:geheim@one/tasks?load_balance_hosts=geheim", "load_balance_hosts"),
            ("ada:geheim@one/tasks?connect_timeout=geheim", "connect_timeout"),
            ("ada:geheim@one/tasks?keepalives=geheim", "keepalives"),
            ("ada:geheim@one/tasks?channel_binding=geheim", "channel_binding"),
            ("ada:geheim@one/tasks?geheim=1", "not known"),
            ("ada:geheim@one/tasks?geheim", "without a value"),
        ] {
            match Storage::open(&format!("postgres://{behind}"), limits()) {
                Err(OpenError::Url(text)) => {
                    assert!(text.contains(named), "{behind}: {text}");
                    assert!(!text.contains("geheim"), "{behind}: {text}");
                }
                other => panic!("{behind}: {other:?}"),
            }
        }
    });
}

#[test]
fn passwords_are_masked_and_nothing_else() {
    for (url, masked) in [
        (
            "postgres://ada:geheim@one:1,two/x?sslmode=require",
            "postgres://ada:***@one:1,two/x?sslmode=require",
        ),
        (
            "postgres://ada@one,[::1]:2/x?password=geheim&port=3",
            "postgres://ada@one,[::1]:2/x?password=***&port=3",
        ),
        ("postgresql:///x?p%61ssword=geheim&host=one", "postgresql:///x?p%61ssword=***&host=one"),
        ("postgres://ada@one", "postgres://ada@one"),
        ("postgres://ada:gehe/im@one/x", "***"),
        ("postgres://ada@one/x?pass%word=geheim", "***"),
        ("sqlite:tasks.db", "sqlite:tasks.db"),
    ] {
        assert_eq!(Storage::mask(url), masked);
    }
}
