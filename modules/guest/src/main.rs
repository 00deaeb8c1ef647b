//! The program `guest`; what it does is in the library.

fn main() -> std::process::ExitCode {
    ansible_contract::run::<guest::Guest>()
}
