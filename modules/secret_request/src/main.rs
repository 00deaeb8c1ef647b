//! The program `secret_request`; what it does is in the library.

fn main() -> std::process::ExitCode {
    ansible_contract::run::<secret_request::SecretRequest>()
}
