//! From arguments to a running process: log, runtime, signals.

use std::process::ExitCode;

use anyhow::Context;
use kube::Config;
use rand::RngExt;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{EXIT_UNAVAILABLE, EXIT_USAGE, LogFormat, Run, Switch},
    rest::{Settings, auth::Guard},
    server::{self, LEAVE, Options},
    validate::Defaults,
};

/// Runs until SIGTERM.
#[must_use]
pub fn start(run: Run) -> ExitCode {
    let filter = match EnvFilter::try_new(&run.log_level) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("--log-level {}: {error}", run.log_level);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    match run.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no threads");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    // A client of the key server is made, which starts a task.
    let guard = {
        let _inside = runtime.enter();
        run.rest.guard()
    };
    let guard = match guard {
        Ok(guard) => guard,
        Err(why) => {
            tracing::error!("{why}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let outcome = runtime.block_on(serve(run, guard));
    // What does not end by itself must not keep the pod.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}

async fn serve(run: Run, guard: Guard) -> anyhow::Result<()> {
    let config = Config::infer().await.context("there is neither a kubeconfig nor a service account")?;
    let home = config.default_namespace.clone();
    let own = Defaults::default();
    let (adoption, webhook_tokens) = (run.recorders.adoption(), run.recorders.tokens());
    let given = run.namespace.or(run.old_namespace);
    let options = Options {
        namespace: if run.all_namespaces { None } else { Some(given.unwrap_or_else(|| home.clone())) },
        webhook_url: run.recorders.url(run.pod_namespace.as_deref().unwrap_or(&home), run.rest.address().port()),
        lease_namespace: home,
        lease_name: run.lease_name,
        // Never the same twice: a process must not take the lease of the one before for its own.
        identity: format!("{}_{:016x}", run.identity, crate::random::generator().random::<u64>()),
        listen: run.listen,
        rest_listen: run.rest.address(),
        rest: Settings { ownership: run.rest.sidecar_ownership == Switch::On },
        autoscaler_metrics: run.rest.autoscaler_metrics,
        defaults: Defaults {
            registry: run.image_registry.unwrap_or(own.registry),
            tag: run.image_tag.unwrap_or(own.tag),
            proxy_image: run.proxy_image.unwrap_or(own.proxy_image),
            cluster_domain: run.cluster_domain.unwrap_or(own.cluster_domain),
            webhook: None,
            adoption: adoption.map_err(anyhow::Error::msg)?,
            webhook_tokens: webhook_tokens.map_err(anyhow::Error::msg)?,
        },
    };
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (told, tell) = tokio::sync::watch::channel(false);
    let signals = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        let _ = told.send(true);
    };
    let mut leaving = tell;
    let late = async move {
        let _ = leaving.wait_for(|leaving| *leaving).await;
        tokio::time::sleep(LEAVE).await;
    };
    tokio::select! {
        outcome = server::run(options, guard, config, signals) => outcome,
        () = late => {
            tracing::warn!("something does not end; leaving without it");
            Ok(())
        }
    }
}
