//! User data that a guest is to have bound, as its operator gave them to it, instead of claims.

use crate::bytes::{Bytes, bytes_of};
use crate::options::Options;
use ansible_contract::codes as args;
use fault::{Fault, Result};
use pv_request::Source;
use pv_wire::attestation::layout::MAX_USER_DATA_LEN;

/// What the options name, if they name any.
///
/// # Errors
/// `args.conflict`, `args.invalid`.
pub fn asked(options: &Options) -> Result<Option<Bytes>> {
    if options.user_data.is_none() && options.user_data_file.is_none() {
        return Ok(None);
    }
    let data = bytes_of(
        ("user_data_file", options.user_data_file.as_ref()),
        ("user_data", options.user_data.as_deref()),
        "Write down in base64 what the guest was told to bind, as its option user_data has it.",
    )?;
    if options.claims.is_some() {
        let detail = "The option claims cannot be given together with user_data or user_data_file.";
        let hint =
            "Leave one of them out: a guest binds either the hash of its claims or the user data of its operator.";
        return Err(Fault::new(args::CONFLICT, detail).hint(hint));
    }
    if let Bytes::Given(data) = &data {
        demand_some(data, "The option user_data")?;
    }
    Ok(Some(data))
}

/// The bytes.
///
/// # Errors
/// `args.invalid`, `file.missing`, `file.unreadable`, `file.too_large`.
pub fn read(asked: &Bytes) -> Result<Vec<u8>> {
    match asked {
        Bytes::Given(data) => Ok(data.clone()),
        Bytes::File(path) => {
            let source = Source::read(path)?;
            demand_some(&source.bytes, &format!("The file {} of the option user_data_file", source.name))?;
            Ok(source.bytes)
        }
    }
}

/// None at all are what a guest has that binds nothing: to expect that would affirm nothing.
fn demand_some(data: &[u8], what: &str) -> Result<()> {
    match data.len() {
        0 => Err(Fault::new(args::INVALID, format!("{what} is empty, so nothing would be compared."))
            .hint("Give what the guest was told to bind, or leave it out.")),
        len if len > MAX_USER_DATA_LEN => {
            let detail = format!("{what} holds {len} bytes; a guest can bind {MAX_USER_DATA_LEN}.");
            Err(Fault::new(args::INVALID, detail).hint("Let the guest bind a hash of them, and expect that."))
        }
        _ => Ok(()),
    }
}
