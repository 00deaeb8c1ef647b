//! The program `secret_add`; what it does is in the library.

fn main() -> std::process::ExitCode {
    ansible_contract::run::<secret_add::SecretAdd>()
}
