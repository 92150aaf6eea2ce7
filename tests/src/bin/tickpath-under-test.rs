//! The command line for tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    tickpath_tools::main()
}
