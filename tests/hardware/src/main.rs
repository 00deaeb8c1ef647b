//! `hardware-questions`: asks, and prints the report; what it does is in the library.

use hardware_questions::{Arguments, USAGE, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Arguments::parse(&arguments) {
        Ok(None) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Some(arguments)) => match run(&arguments) {
            Ok(report) => {
                println!("{report}");
                ExitCode::SUCCESS
            }
            Err(why) => {
                eprintln!("hardware-questions: {why}");
                ExitCode::FAILURE
            }
        },
        Err(why) => {
            eprintln!("hardware-questions: {why}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
