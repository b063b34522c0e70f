//! Public keys: from a file, or from a server that has one file for each key, named by the SHA-256 of the key's name.
//!
//! Whoever reaches the port can make up names of keys. So what is kept is bounded, a name that the server does not know is
//! not asked for again at once, and many callers with the same name make one request.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use crate::{
    jwt::{PublicKey, file_of},
    metrics::Metrics,
};

/// Keys that are kept.
const KNOWN: usize = 64;
/// Names that are kept as unknown.
const UNKNOWN: usize = 512;
/// A name that the server did not know is asked for again after this time.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// A server that did not answer is asked again after this time.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// A known key still counts for so long when the server cannot be asked for it again.
const STALE: SignedDuration = SignedDuration::from_hours(1);
/// Requests to the server under way.
const AT_ONCE: usize = 4;
/// Names that are being asked for.
const FLIGHTS: usize = 64;
/// After which a request is given up, the wait for its turn included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest file, bytes.
const LIMIT: usize = 32 * 1024;
/// A file is read again after this time.
const REREAD: SignedDuration = SignedDuration::from_secs(30);

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There is none of that name.
    Unknown,
    /// It cannot be had now.
    Unreachable(String),
}

type Found = Result<Arc<Vec<PublicKey>>, KeyError>;

/// Gets a file of the key server: its text, or `None` when there is no such file.
pub type Fetch = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Option<String>, String>> + Send + Sync>;

#[derive(Default)]
struct Cache {
    known: HashMap<String, (Arc<Vec<PublicKey>>, Timestamp)>,
    unknown: HashMap<String, (KeyError, Timestamp)>,
    flights: HashMap<String, Shared<BoxFuture<'static, Found>>>,
}

/// A server with a file for each key.
#[derive(Clone)]
pub struct KeyServer {
    fetch: Fetch,
    ttl: SignedDuration,
    cache: Arc<Mutex<Cache>>,
    turns: Arc<Semaphore>,
}

impl KeyServer {
    /// One whose keys count for `ttl`.
    #[must_use]
    pub fn new(fetch: Fetch, ttl: Duration) -> Self {
        let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::from_hours(1));
        Self { fetch, ttl, cache: Arc::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys of this name.
    ///
    /// # Errors
    /// When there are none, or the server does not say.
    pub(super) async fn get(&self, kid: &str, now: Timestamp, metrics: &Arc<Metrics>) -> Found {
        let flight = {
            let mut cache = self.cache();
            let fresh = |since: &Timestamp, time| (SignedDuration::ZERO..time).contains(&now.duration_since(*since));
            if let Some((keys, since)) = cache.known.get(kid)
                && fresh(since, self.ttl)
            {
                return Ok(keys.clone());
            }
            if let Some((error, since)) = cache.unknown.get(kid)
                && fresh(since, if *error == KeyError::Unknown { AGAIN } else { PAUSE })
            {
                return cache.stale(kid, now, self.ttl, error.clone());
            }
            if let Some(flight) = cache.flights.get(kid) {
                flight.clone()
            } else {
                if cache.flights.len() >= FLIGHTS {
                    return cache.stale(kid, now, self.ttl, KeyError::Unreachable("too many are asked for".to_owned()));
                }
                let flight = self.fly(kid.to_owned(), now, metrics.clone());
                cache.flights.insert(kid.to_owned(), flight.clone());
                flight
            }
        };
        flight.await
    }

    /// Asks in a task of its own: a caller who goes away takes nothing with him.
    fn fly(&self, kid: String, now: Timestamp, metrics: Arc<Metrics>) -> Shared<BoxFuture<'static, Found>> {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let asked = tokio::time::timeout(TIMEOUT, async {
                let _turn = this.turns.acquire().await;
                (this.fetch)(file_of(&kid)).await
            });
            let found = match asked.await {
                Err(_) => Err(KeyError::Unreachable("no answer in time".to_owned())),
                Ok(Err(why)) => Err(KeyError::Unreachable(why)),
                Ok(Ok(None)) => Err(KeyError::Unknown),
                Ok(Ok(Some(text))) => PublicKey::all_of(&text).map(Arc::new).map_err(|_| KeyError::Unknown),
            };
            metrics.rest.asked_for_key(match &found {
                Ok(_) => "found",
                Err(KeyError::Unknown) => "unknown",
                Err(KeyError::Unreachable(_)) => "unreachable",
            });
            let mut cache = this.cache();
            cache.flights.remove(&kid);
            cache.keep(kid, found, now, this.ttl)
        });
        let answer =
            async move { task.await.unwrap_or_else(|_| Err(KeyError::Unreachable("it broke off".to_owned()))) };
        answer.boxed().shared()
    }
}

impl Cache {
    /// A key that counted until a while ago still does, when the server cannot be asked.
    fn stale(&self, kid: &str, now: Timestamp, ttl: SignedDuration, error: KeyError) -> Found {
        match self.known.get(kid) {
            Some((keys, since)) if error != KeyError::Unknown && now.duration_since(*since) < ttl + STALE => {
                Ok(keys.clone())
            }
            _ => Err(error),
        }
    }

    fn keep(&mut self, kid: String, found: Found, now: Timestamp, ttl: SignedDuration) -> Found {
        match found {
            Ok(keys) => {
                self.unknown.remove(&kid);
                evict(&mut self.known, &kid, KNOWN);
                self.known.insert(kid, (keys.clone(), now));
                Ok(keys)
            }
            Err(error) => {
                let answer = self.stale(&kid, now, ttl, error.clone());
                if error == KeyError::Unknown {
                    self.known.remove(&kid);
                }
                evict(&mut self.unknown, &kid, UNKNOWN);
                self.unknown.insert(kid, (error, now));
                answer
            }
        }
    }
}

/// Makes room for one more: the oldest goes.
fn evict<T>(map: &mut HashMap<String, (T, Timestamp)>, kid: &str, most: usize) {
    if map.len() < most || map.contains_key(kid) {
        return;
    }
    if let Some(oldest) = map.iter().min_by_key(|(_, (_, since))| *since).map(|(kid, _)| kid.clone()) {
        map.remove(&oldest);
    }
}

/// Files of a server, by HTTP or HTTPS.
///
/// # Errors
/// When the address is none, or the client cannot be made.
pub fn http(base: &str) -> anyhow::Result<Fetch> {
    let base: http::Uri = base.trim_end_matches('/').parse()?;
    anyhow::ensure!(matches!(base.scheme_str(), Some("http" | "https")), "{base} is not an address of HTTP");
    let mut config = kube::Config::new(base);
    config.connect_timeout = Some(Duration::from_secs(3));
    config.read_timeout = Some(TIMEOUT);
    // The API client speaks HTTPS to any server; one more TLS stack would be one too many.
    let client = kube::Client::try_from(config)?;
    Ok(Arc::new(move |file| {
        let client = client.clone();
        Box::pin(async move {
            let request = http::Request::get(format!("/{file}"))
                .body(kube::client::Body::empty())
                .map_err(|error| error.to_string())?;
            let answer = client.send(request).await.map_err(|_| "no connection".to_owned())?;
            match answer.status().as_u16() {
                200 => {}
                // Buckets of files say 403 for what is not there.
                403 | 404 | 410 => return Ok(None),
                code => return Err(format!("the key server answers {code}")),
            }
            let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), LIMIT).await;
            let body = body.map_err(|_| "its answer is too long or broke off".to_owned())?;
            Ok(String::from_utf8(body.to_vec()).ok())
        })
    }))
}

/// A PEM file.
pub struct KeyFile {
    path: PathBuf,
    read: Mutex<Option<(Timestamp, Found)>>,
}

impl KeyFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }

    /// Its keys, whatever they are called.
    pub(super) fn get(&self, now: Timestamp) -> Found {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, found)) = &*read
            && (SignedDuration::ZERO..REREAD).contains(&now.duration_since(*since))
        {
            return found.clone();
        }
        let found = match std::fs::read_to_string(&self.path) {
            Ok(text) if text.len() <= LIMIT => PublicKey::all_of(&text)
                .map(Arc::new)
                .map_err(|error| KeyError::Unreachable(format!("{}: {error}", self.path.display()))),
            Ok(_) => Err(KeyError::Unreachable(format!("{} is too long", self.path.display()))),
            Err(error) => Err(KeyError::Unreachable(format!("{}: {error}", self.path.display()))),
        };
        *read = Some((now, found.clone()));
        found
    }
}

#[cfg(test)]
mod tests;
