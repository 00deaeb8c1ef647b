//! The program `request_info`; what it does is in the library.

fn main() -> std::process::ExitCode {
    ansible_contract::run::<request_info::RequestInfo>()
}
