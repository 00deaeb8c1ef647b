//! What an operator is told when something cannot be done.
//!
//! Every library of the project reports with one type, [`Fault`]: a stable [`Code`] that playbooks can test,
//! a sentence that says what was tried on what and what was answered, and a hint that says what to do next.
//! Codes are declared with [`codes!`], beside their meaning, in the crate that reports them; the docs list
//! them from there, so no code can exist without its explanation.

pub mod file;

use std::fmt;

/// A stable error code, `area.reason` in lower case, with its meaning for the docs. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The code as playbooks test it, such as `uv.store_locked`.
    pub name: &'static str,
    /// One sentence for the docs.
    pub meaning: &'static str,
}

/// Declares error codes as constants and `ALL`, the list of them that the docs are made from.
///
/// ```
/// mod codes {
///     fault::codes! {
///         INSECURE = "file.insecure", "A secret's file can be read or replaced by others.";
///     }
/// }
/// assert_eq!(codes::ALL[0], codes::INSECURE);
/// ```
#[macro_export]
macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)+) => {
        $(#[doc = $meaning] pub const $name: $crate::Code = $crate::Code { name: $code, meaning: $meaning };)+
        /// Every code declared here, for the docs.
        pub const ALL: &[$crate::Code] = &[$($name),+];
    };
}

/// The numbers that a device, driver or the ultravisor answered, where there were any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The ultravisor's return code.
    pub uv_rc: Option<u16>,
    /// The ultravisor's return reason code.
    pub uv_rrc: Option<u16>,
    /// The kernel's errno.
    pub errno: Option<i32>,
}

/// Something that could not be done, said to the operator.
///
/// Neither `detail` nor `hint` may ever hold a secret: both go into results and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable code.
    pub code: Code,
    /// What was tried, on what, and what was answered: a sentence.
    pub detail: String,
    /// What to do next: a sentence, or empty where nothing better is known than the detail.
    pub hint: String,
    /// Numbers answered by kernel or ultravisor.
    pub answer: Answer,
}

impl Fault {
    /// A fault with its code and its sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), hint: String::new(), answer: Answer::default() }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// What to do next, if anything is known: what results give, for an empty hint there would look like a lost one.
    pub fn known_hint(&self) -> Option<&str> {
        Some(self.hint.as_str()).filter(|hint| !hint.is_empty())
    }

    /// Adds the kernel's errno.
    #[must_use]
    pub fn errno(mut self, errno: i32) -> Self {
        self.answer.errno = Some(errno);
        self
    }

    /// Adds the errno of an I/O error, if it is the kernel's and not one of our own.
    #[must_use]
    pub fn io(mut self, error: &std::io::Error) -> Self {
        self.answer.errno = error.raw_os_error();
        self
    }

    /// Adds the ultravisor's return code and reason code.
    #[must_use]
    pub fn uv(mut self, rc: u16, rrc: u16) -> Self {
        self.answer.uv_rc = Some(rc);
        self.answer.uv_rrc = Some(rrc);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if !self.hint.is_empty() {
            write!(f, " {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// A result whose error is a [`Fault`].
pub type Result<T> = std::result::Result<T, Fault>;

#[cfg(test)]
mod tests {
    use super::*;

    codes! { FULL = "test.full", "The store is full."; }

    #[test]
    fn a_fault_reads_as_detail_then_hint() {
        let fault = Fault::new(FULL, "The store holds 3 of 3 secrets.").hint("Reboot the guest.").uv(0x10b, 0);
        assert_eq!(fault.to_string(), "The store holds 3 of 3 secrets. Reboot the guest.");
        assert_eq!(fault.answer.uv_rc, Some(0x10b));
    }

    #[test]
    fn only_an_error_of_the_kernel_has_a_number() {
        let errno = |error| Fault::new(FULL, "Full.").io(&error).answer.errno;
        assert_eq!(errno(std::io::Error::from_raw_os_error(28)), Some(28));
        assert_eq!(errno(std::io::Error::other("not a regular file")), None);
    }

    #[test]
    fn a_fault_without_hint_ends_with_its_detail() {
        let fault = Fault::new(FULL, "Full.");
        assert_eq!((fault.to_string().as_str(), fault.known_hint()), ("Full.", None));
        assert_eq!(fault.hint("Wait.").known_hint(), Some("Wait."));
        assert_eq!(ALL, &[FULL]);
    }
}
