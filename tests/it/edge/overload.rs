//! More calls than there is room for.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{assert_refused, check, register};
use crate::support::process::Sandbox;

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_room_hears_of_it_at_once_and_health_answers() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--calls-max", "1", "--calls-waiting-max", "1"]);
    let channel = service.connect().await;
    let calls = tokio::spawn(join_all((0..16).map({
        let channel = channel.clone();
        move |number| {
            let channel = channel.clone();
            async move {
                let begin = Instant::now();
                (register(channel, number).await, begin.elapsed())
            }
        }
    })));
    while !calls.is_finished() {
        check(channel.clone()).await.unwrap();
    }
    let (mut done, mut refused) = (0, 0);
    for (answer, _) in calls.await.unwrap() {
        match answer {
            Ok(()) => done += 1,
            Err(status) => {
                assert_refused(&status, Code::Unavailable, "OVERLOADED");
                let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
                assert!(delay >= Duration::from_millis(100) && delay <= Duration::from_secs(10), "{delay:?}");
                refused += 1;
            }
        }
    }
    println!("{done} done, {refused} refused");
    assert!(done >= 2 && refused >= 8, "{done} done, {refused} refused");
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_per_user() {
    use taskwire::pb;
    use taskwire::pb::task_service_client::TaskServiceClient;
    use taskwire::pb::user_service_client::UserServiceClient;

    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--rate-per-second", "1", "--rate-burst", "3"]);
    let channel = service.connect().await;
    let mut lists = Vec::new();
    for number in 0..2 {
        register(channel.clone(), number).await.unwrap();
        let login = pb::LoginRequest {
            email: format!("user{number}@example.com"),
            password: "correct horse battery staple".to_owned(),
            device: "test".to_owned(),
        };
        let pair = UserServiceClient::new(channel.clone()).login(login).await.unwrap().into_inner();
        lists.push((pair.access_token, pair.user.unwrap().name));
    }
    for (token, parent) in lists {
        let call = || {
            let mut request =
                tonic::Request::new(pb::ListTasksRequest { parent: parent.clone(), ..Default::default() });
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            let channel = channel.clone();
            async move { TaskServiceClient::new(channel).list_tasks(request).await.map(drop) }
        };
        let answers = join_all((0..20).map(|_| call())).await;
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!((3..20).contains(&done), "{done}");
        for status in answers.into_iter().filter_map(Result::err) {
            assert_refused(&status, Code::ResourceExhausted, "RATE_LIMITED");
            assert!(status.get_error_details().retry_info().is_some());
        }
    }
    service.stop();
}
