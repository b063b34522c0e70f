//! `roompin-controller`: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    controller::cli::main(controller::start::start)
}
