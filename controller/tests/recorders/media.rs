//! Recorders asked over real HTTP.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use controller::{
    media::{HttpMedia, Media},
    plan::report::{Busy, Report},
};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

async fn serve(router: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

async fn ask(router: Router) -> Result<Report, String> {
    let (address, task) = serve(router).await;
    let answer = HttpMedia::new().unwrap().recorder("127.0.0.1", address.port()).await;
    task.abort();
    answer
}

fn health(text: &'static str) -> Router {
    Router::new().route("/jibri/api/v1.0/health", get(async move || text))
}

#[tokio::test]
async fn its_health_is_read_and_nothing_is_read_into_silence() {
    let good =
        ask(health(r#"{"status":{"busyStatus":"EXPIRED","health":{"healthStatus":"UNHEALTHY","details":{}}}}"#)).await;
    let good = good.unwrap();
    assert_eq!((good.busy, good.healthy), (Some(Busy::Expired), Some(false)));
    assert_eq!(ask(health("{}")).await, Err("its answer cannot be read".to_owned()));
    assert!(ask(Router::new()).await.unwrap_err().contains("404"));
    let long: &'static str = Box::leak(" ".repeat(2 << 20).into_boxed_str());
    assert_eq!(ask(health(long)).await, Err("its answer is too long".to_owned()));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = HttpMedia::new().unwrap().recorder("127.0.0.1", nobody.port()).await;
    assert_eq!(answer, Err("no connection".to_owned()));
}

#[tokio::test]
async fn one_that_does_not_answer_costs_three_seconds() {
    let never = Router::new().route("/jibri/api/v1.0/health", get(std::future::pending::<&str>));
    let start = Instant::now();
    assert_eq!(ask(never).await, Err("no answer in time".to_owned()));
    assert!((2..6).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(start.elapsed() >= Duration::from_secs(2));
}
