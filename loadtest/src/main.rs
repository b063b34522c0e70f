//! Entry point of `roompin-loadtest`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use loadtest::{
    cli::{Cli, Command, DemoArgs, Exit, StubArgs, judge},
    demo,
    stub::{StubOptions, StubShard},
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; they come on stdout and are no mistake.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Passed };
            let _ = error.print();
            return exit.into();
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error),
    };
    runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo(args).await,
            Command::Stub(args) => stub(args).await,
        }
    })
}

async fn demo(args: DemoArgs) -> ExitCode {
    let options = args.options();
    let interrupted = match interruption() {
        Ok(interrupted) => interrupted,
        Err(error) => return complain(&error),
    };
    let end = demo::run(&options, interrupted).await;
    match &end {
        Ok(outcome) if options.json => {
            if let Err(error) = writeln!(io::stdout(), "{}", outcome.verdict.to_json()) {
                return complain(&error);
            }
        }
        Ok(_) => {}
        Err(error) => {
            complain(error);
        }
    }
    judge(&options, &end).into()
}

async fn stub(args: StubArgs) -> ExitCode {
    let options = StubOptions { jitsi_header: !args.no_jitsi_header, agent: args.agent };
    let started = async {
        let interrupted = interruption()?;
        let shard = StubShard::start_with(&args.name, args.listen, options).await?;
        match shard.agent_addr() {
            Some(agent) => writeln!(io::stdout(), "{} serves http://{}, agent {agent}", shard.name, shard.addr)?,
            None => writeln!(io::stdout(), "{} serves http://{}", shard.name, shard.addr)?,
        }
        Ok::<_, io::Error>((shard, interrupted))
    };
    match started.await {
        Ok((shard, interrupted)) => {
            interrupted.await;
            shard.stop().await;
            Exit::Passed.into()
        }
        Err(error) => complain(&error),
    }
}

/// Ready at Ctrl-C, at SIGTERM, or when the terminal goes away.
fn interruption() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn complain(error: &dyn std::fmt::Display) -> ExitCode {
    // When even stderr is gone, the exit code has to do.
    let _ = writeln!(io::stderr(), "roompin-loadtest: {error}");
    Exit::Unavailable.into()
}
