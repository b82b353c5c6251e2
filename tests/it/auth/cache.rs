//! Tokens that were seen before: what is remembered of them must not outlive them, nor stand for others.

use std::time::Duration;

use super::forge::{Forge, resigned};
use super::served::{Served, run};
use super::{Accepted, Expired, Invalid, PROBE, Verdict, guarded, verdict};

async fn send(served: &Served, path: &str, token: &str) -> Verdict {
    let header = format!("Bearer {token}");
    let answer = served.call(path, [("authorization", header.as_bytes())]).await;
    verdict(path, &answer)
}

#[test]
fn a_token_works_again_and_its_twin_does_not() {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let token = forge.good(1);
        let twin = resigned(&token, |bytes| bytes[40] ^= 1);
        for path in guarded() {
            assert_eq!(send(&served, path, &token).await, Accepted);
            assert_eq!(send(&served, path, &token).await, Accepted);
            assert_eq!(send(&served, path, &twin).await, Invalid);
            assert_eq!(send(&served, path, &twin).await, Invalid);
            assert_eq!(send(&served, path, &token).await, Accepted);
        }
    });
}

#[test]
fn a_remembered_token_expires() {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let token = forge.issued.access_token.clone();
        assert_eq!(send(&served, PROBE, &token).await, Accepted);
        served.clock.advance(Duration::from_secs(900));
        // Within the leeway.
        assert_eq!(send(&served, PROBE, &token).await, Accepted);
        served.clock.advance(Duration::from_millis(4_999));
        assert_eq!(send(&served, PROBE, &token).await, Accepted);
        served.clock.advance(Duration::from_millis(1));
        for path in guarded() {
            assert_eq!(send(&served, path, &token).await, Expired);
            assert_eq!(send(&served, path, &token).await, Expired);
        }
    });
}

#[test]
fn a_token_seen_too_early_works_later() {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let token = forge.claiming(serde_json::json!({"nbf": super::forge::whole_from_now(65)}));
        assert_eq!(send(&served, PROBE, &token).await, Invalid);
        served.clock.advance(Duration::from_secs(60));
        assert_eq!(send(&served, PROBE, &token).await, Accepted);
    });
}

#[test]
fn many_forged_tokens_do_not_push_anybody_out() {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let foreign = forge.foreign(true);
        let token = forge.good(1);
        assert_eq!(send(&served, PROBE, &token).await, Accepted);
        for number in 0..500 {
            assert_eq!(send(&served, PROBE, &foreign.good(number)).await, Invalid);
        }
        assert_eq!(send(&served, PROBE, &token).await, Accepted);
    });
}
