//! `chaos`: a script of faults against a proxy with conferences on it.

use std::{fs, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{Exit, complain, duration, interruption};
use crate::chaos::{
    self, ChaosError, Choice, Options,
    result::ChaosRun,
    script::{MAX_LENGTH, MAX_NODES, Script, default_script, random_script},
};

/// Largest script read.
const MAX_SCRIPT: u64 = 1 << 20;

/// Arguments of `chaos`.
#[derive(Debug, Args)]
pub struct ChaosArgs {
    /// What it is done to
    #[arg(value_enum, default_value_t = TargetName::Roompin)]
    pub target: TargetName,
    /// Our proxy's binary [default: roompin-proxy beside this one, else on the PATH]
    #[arg(long, value_name = "PATH")]
    pub proxy: Option<PathBuf>,
    /// HAProxy's binary
    #[arg(long, value_name = "PATH", default_value = "haproxy")]
    pub haproxy: PathBuf,
    /// Replicas of the proxy
    #[arg(long, default_value_t = 2, value_parser = count(MAX_NODES))]
    pub replicas: usize,
    /// Shards at the start
    #[arg(long, default_value_t = 3, value_parser = count(MAX_NODES))]
    pub shards: usize,
    /// Conferences that last for the whole run; new ones come and go beside them
    #[arg(long, default_value_t = 12, value_parser = count(500))]
    pub rooms: usize,
    /// Participants of each
    #[arg(long, default_value_t = 3, value_parser = count(50))]
    pub participants: usize,
    /// Most pins of a replica
    #[arg(long, default_value_t = 1_000, value_parser = count(1_000_000))]
    pub max_pins: usize,
    /// Keep each room to one replica, instead of letting its participants come through all
    #[arg(long)]
    pub keep: bool,
    /// What is done and when, one step a line such as `at 5s kill replica-2 for 2s` [default: everything once, 60 s]
    #[arg(long, value_name = "FILE", conflicts_with = "random")]
    pub script: Option<PathBuf>,
    /// Make a script of this length up from the seed
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub random: Option<Duration>,
    /// Seed of who comes when and how, and of a random script
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the script, and do nothing
    #[arg(long)]
    pub show: bool,
    /// How long replicas of ours wait for each other before one decides alone [default: the proxy's]. On a machine that is
    /// too busy for it, rooms are split without a partition
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub claim_timeout: Option<Duration>,
    /// Do not use network namespaces: everything is on loopback, and partitions are made by stopping processes
    #[arg(long)]
    pub no_namespaces: bool,
    /// Write the result there
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Targets by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TargetName {
    /// Our proxy
    Roompin,
    /// HAProxy with the configuration published for Jitsi on Kubernetes
    Haproxy,
    /// A proxy that is broken on purpose, to see it caught
    Random,
}

/// A parser of numbers from 1 to `max`.
fn count(max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| format!("must be 1 to {max}"))
    }
}

impl ChaosArgs {
    /// The script asked for.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn script(&self) -> Result<Script, String> {
        if let Some(path) = &self.script {
            let place = path.display();
            let words = |error: std::io::Error| format!("{place}: {error}");
            if fs::metadata(path).map_err(words)?.len() > MAX_SCRIPT {
                return Err(format!("{place}: more than {MAX_SCRIPT} bytes"));
            }
            let text = fs::read_to_string(path).map_err(words)?;
            return text.parse().map_err(|error| format!("{place}: {error}"));
        }
        match self.random {
            Some(length) if length > MAX_LENGTH => Err(format!("at most {} s", MAX_LENGTH.as_secs())),
            Some(length) => Ok(random_script(self.seed, length, self.replicas, self.shards)),
            None if self.shards < 2 => Err("the built-in script needs at least 2 shards".to_owned()),
            None => Ok(default_script(self.replicas, self.shards)),
        }
    }

    fn options(&self, script: Script) -> Options {
        Options {
            target: match self.target {
                TargetName::Roompin => Choice::Roompin(self.proxy.clone()),
                TargetName::Haproxy => Choice::Haproxy(self.haproxy.clone()),
                TargetName::Random => Choice::Random,
            },
            replicas: self.replicas,
            shards: self.shards,
            rooms: self.rooms,
            participants: self.participants,
            max_pins: self.max_pins,
            spread: !self.keep,
            script,
            seed: self.seed,
            claim_timeout: self.claim_timeout,
            namespaces: !self.no_namespaces,
        }
    }
}

/// Runs it to its end.
#[must_use]
pub fn run(args: &ChaosArgs) -> Exit {
    let script = match args.script() {
        Ok(script) => script,
        Err(problem) => {
            complain(&problem);
            return Exit::Usage;
        }
    };
    if args.show {
        print!("{script}");
        return Exit::Passed;
    }
    let run = match chaos::run(&args.options(script), interruption) {
        Ok(run) => run,
        Err(error) => {
            complain(&error);
            return match error {
                ChaosError::Script(_) => Exit::Usage,
                ChaosError::Interrupted => Exit::Interrupted,
                _ => Exit::Unavailable,
            };
        }
    };
    if let Some(path) = &args.json
        && let Err(error) = write(path, &run)
    {
        return complain(&format!("{}: {error}", path.display()));
    }
    if run.passed() { Exit::Passed } else { Exit::Failed }
}

fn write(path: &PathBuf, run: &ChaosRun) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(run).map_err(std::io::Error::other)?;
    fs::write(path, text + "\n")
}
