//! The kubectl plugin; everything is in `dbmedic::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dbmedic::cli::run(std::env::args_os())
}
