//! The hot process on its own: `tickpath-hot DIR`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tickpath_hotpath::main_with_args(std::env::args().nth(1))
}
