//! How many files a test may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process, and the proxies that it starts, open as many files as it may. A login shell's soft limit is 1,024.
pub(crate) fn raise_file_limit(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    // `None` is unlimited.
    if limit.current.is_some_and(|current| current < needed) {
        let raised = Rlimit { current: Some(limit.maximum.map_or(needed, |most| most.min(needed))), ..limit };
        setrlimit(Resource::Nofile, raised).expect("raise the soft limit of open files");
    }
    let current = getrlimit(Resource::Nofile).current;
    assert!(current.is_none_or(|current| current >= needed), "this test needs {needed} open files: raise `ulimit -Hn`");
}
