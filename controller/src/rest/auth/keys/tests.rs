//! The key server is asked seldom, whatever callers do.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;

const PEM: &str = include_str!("../../../../tests/data/jwt/signer.pub.pem");

struct Server {
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<Result<Option<String>, String>>>,
    keys: KeyServer,
    metrics: Arc<Metrics>,
}

impl Server {
    fn new(answer: Result<Option<&str>, &str>) -> Self {
        let (asked, metrics) = (Arc::new(AtomicUsize::new(0)), Arc::new(Metrics::new()));
        let answer = Arc::new(Mutex::new(answer.map(|text| text.map(str::to_owned)).map_err(str::to_owned)));
        let (counted, said) = (asked.clone(), answer.clone());
        let fetch: Fetch = Arc::new(move |_| {
            counted.fetch_add(1, Relaxed);
            let said = said.lock().unwrap().clone();
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                said
            })
        });
        Self { asked, answer, keys: KeyServer::new(fetch, Duration::from_secs(3600)), metrics }
    }

    async fn get(&self, kid: &str, seconds: i64) -> Found {
        self.keys.get(kid, Timestamp::from_second(1_800_000_000 + seconds).unwrap(), &self.metrics).await
    }

    fn say(&self, answer: Result<Option<&str>, &str>) {
        *self.answer.lock().unwrap() = answer.map(|text| text.map(str::to_owned)).map_err(str::to_owned);
    }

    fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_key_is_asked_for_once_an_hour() {
    let server = Server::new(Ok(Some(PEM)));
    let many = futures_util::future::join_all((0..50).map(|_| server.get("a", 0))).await;
    assert!(many.iter().all(Result::is_ok));
    assert_eq!(server.asked(), 1, "many callers make one request");
    assert!(server.get("a", 3599).await.is_ok());
    assert_eq!(server.asked(), 1);
    assert!(server.get("a", 3600).await.is_ok());
    assert_eq!(server.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_does_not_lock_out_those_who_were_known() {
    let server = Server::new(Ok(Some(PEM)));
    assert!(server.get("a", 0).await.is_ok());
    server.say(Err("down"));
    assert!(server.get("a", 3700).await.is_ok(), "it counted a moment ago");
    assert_eq!(server.get("b", 3700).await, Err(KeyError::Unreachable("down".to_owned())));
    assert_eq!(server.get("b", 3704).await, Err(KeyError::Unreachable("down".to_owned())));
    assert_eq!(server.asked(), 3, "and it is not asked again at once");
    assert!(server.get("a", 7201).await.is_err(), "but not for ever");
    // A key that was withdrawn is out at once.
    server.say(Ok(Some(PEM)));
    assert!(server.get("c", 8000).await.is_ok());
    server.say(Ok(None));
    assert_eq!(server.get("c", 8000 + 3601).await, Err(KeyError::Unknown));
    server.say(Err("down"));
    assert!(server.get("c", 8000 + 3700).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn names_that_are_made_up_are_bounded() {
    let server = Server::new(Ok(Some(PEM)));
    assert!(server.get("real", 0).await.is_ok());
    server.say(Ok(None));
    for _ in 0..3 {
        assert_eq!(server.get("no", 1).await, Err(KeyError::Unknown));
    }
    assert_eq!(server.asked(), 2, "an unknown one is not asked for again");
    for n in 0..2000 {
        assert!(server.get(&format!("junk-{n}"), 2).await.is_err());
    }
    let sizes = {
        let cache = server.keys.cache();
        (cache.known.len(), cache.unknown.len(), cache.flights.len())
    };
    assert_eq!(sizes, (1, UNKNOWN, 0));
    let at_once = (0..300).map(|n| format!("more-{n}")).collect::<Vec<_>>();
    let all = futures_util::future::join_all(at_once.iter().map(|kid| server.get(kid, 3))).await;
    let busy = all.iter().filter(|found| matches!(found, Err(KeyError::Unreachable(_)))).count();
    assert_eq!(busy, 300 - FLIGHTS);
    assert!(server.get("real", 4).await.is_ok(), "junk does not push it out");
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_no_key() {
    let fetch: Fetch = Arc::new(|_| Box::pin(std::future::pending()));
    let keys = KeyServer::new(fetch, Duration::from_secs(60));
    let metrics = Arc::new(Metrics::new());
    let now = Timestamp::from_second(0).unwrap();
    assert_eq!(keys.get("a", now, &metrics).await, Err(KeyError::Unreachable("no answer in time".to_owned())));
}

#[test]
fn a_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let file = KeyFile::new(path.clone());
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    assert!(matches!(file.get(at(0)), Err(KeyError::Unreachable(_))));
    std::fs::write(&path, PEM).unwrap();
    assert!(file.get(at(29)).is_err());
    assert_eq!(file.get(at(30)).unwrap().len(), 1);
}
