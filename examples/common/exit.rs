//! Errors as messages with an exit code.

use std::process::ExitCode;

use probity::Result;

/// Ends the program with the error's message, or well.
pub fn exit(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
