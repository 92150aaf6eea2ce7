//! The control process on its own: `tickpath-control DIR`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tickpath_control::main_with_args(std::env::args().nth(1))
}
