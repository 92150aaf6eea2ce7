//! The `tickpath` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tickpath_tools::main()
}
