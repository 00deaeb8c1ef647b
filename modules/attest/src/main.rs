//! The program `attest`; what it does is in the library.

fn main() -> std::process::ExitCode {
    ansible_contract::run::<attest::Attest>()
}
