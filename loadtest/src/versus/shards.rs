//! Stub shards in processes of their own, so that they do not share the generator's thread.

use std::{env, ffi::OsString, net::SocketAddr, time::Duration};

use tokio::process::Command;

use super::VersusError;
use crate::child::{Child, ChildError, end_all};

/// Shards that serve.
#[derive(Debug)]
pub struct Shards {
    /// Name and address of each.
    pub list: Vec<(String, SocketAddr)>,
    processes: Vec<Child>,
}

impl Shards {
    /// Starts shards that wait this long before each answer.
    ///
    /// # Errors
    /// See [`VersusError`].
    pub async fn start(count: usize, delay: Duration) -> Result<Self, VersusError> {
        let own = env::current_exe().map_err(ChildError::io("own binary"))?;
        let mut shards = Self { list: Vec::new(), processes: Vec::new() };
        for number in 1..=count {
            let name = format!("shard-{number}");
            let mut arguments: Vec<OsString> = vec!["stub".into(), "--name".into(), name.clone().into()];
            if !delay.is_zero() {
                arguments.extend(["--delay".into(), format!("{}ms", delay.as_millis()).into()]);
            }
            let mut command = Command::new(&own);
            command.args(arguments);
            let mut process = Child::start(&name, command)?;
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
    pub async fn end(self) -> Result<(), VersusError> {
        Ok(end_all(self.processes).await?)
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
