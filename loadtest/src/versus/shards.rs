//! Stub shards in processes of their own, so that they do not share the generator's thread.

use std::{env, ffi::OsString, net::SocketAddr, time::Duration};

use super::{VersusError, process::Process};

/// Shards that serve.
#[derive(Debug)]
pub struct Shards {
    /// Name and address of each.
    pub list: Vec<(String, SocketAddr)>,
    processes: Vec<Process>,
}

impl Shards {
    /// Starts shards that wait this long before each answer.
    ///
    /// # Errors
    /// See [`VersusError`].
    pub async fn start(count: usize, delay: Duration) -> Result<Self, VersusError> {
        let own = env::current_exe().map_err(|source| VersusError::Io { what: "own binary", source })?;
        let mut shards = Self { list: Vec::new(), processes: Vec::new() };
        for number in 1..=count {
            let name = format!("shard-{number}");
            let mut arguments: Vec<OsString> = vec!["stub".into(), "--name".into(), name.clone().into()];
            if !delay.is_zero() {
                arguments.extend(["--delay".into(), format!("{}ms", delay.as_millis()).into()]);
            }
            let mut process = Process::start(&name, &own, arguments, None)?;
            let address = process.ready(async |words| address(words)).await?;
            shards.list.push((name, address));
            shards.processes.push(process);
        }
        Ok(shards)
    }

    /// Ends them.
    ///
    /// # Errors
    /// When one has ended before.
    pub async fn end(mut self) -> Result<(), VersusError> {
        let alive = self.processes.iter_mut().try_for_each(Process::still_runs);
        for process in self.processes {
            process.end().await;
        }
        alive
    }
}

/// The address in the line that `roompin-loadtest stub` prints when it serves.
fn address(words: &str) -> Option<SocketAddr> {
    let (_, rest) = words.split_once(" serves http://")?;
    rest.split([',', '\n']).next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_says_where_it_serves() {
        let expected: SocketAddr = "127.0.0.1:4711".parse().unwrap();
        assert_eq!(address("shard-1 serves http://127.0.0.1:4711"), Some(expected));
        assert_eq!(address("warning\nshard-1 serves http://127.0.0.1:4711, agent 127.0.0.1:2"), Some(expected));
        assert_eq!(address("shard-1 serves http://127.0"), None);
        assert_eq!(address(""), None);
    }
}
