//! Return codes of ultravisor calls (s390-tools rust/pv_core, Linux arch/s390/include/asm/uv.h).

use serde::{Serialize, Serializer};

/// What an ultravisor call answers; serialised as `0x` and four hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rc(pub u16);

impl Rc {
    /// Done.
    pub const SUCCESS: Self = Self(0x0001);
    /// No such call.
    pub const INVALID_COMMAND: Self = Self(0x0002);
    /// Retrieve: the buffer is too small.
    pub const BUFFER_TOO_SMALL: Self = Self(0x0009);
    /// Done, but there is more than the buffer holds.
    pub const MORE_DATA: Self = Self(0x0100);
    /// Add and lock: the store is locked.
    pub const LOCKED: Self = Self(0x0102);
    /// Add: unsupported request version.
    pub const VERSION: Self = Self(0x0104);
    /// Add: invalid request size.
    pub const SIZE: Self = Self(0x0105);
    /// Add: invalid number of host keys.
    pub const HOST_KEYS: Self = Self(0x0106);
    /// Add: unsupported flags.
    pub const FLAGS: Self = Self(0x0107);
    /// Add: the request cannot be decrypted.
    pub const UNDECRYPTABLE: Self = Self(0x0108);
    /// Add: unsupported secret.
    pub const UNSUPPORTED_SECRET: Self = Self(0x0109);
    /// Add: invalid length for that secret.
    pub const SECRET_LENGTH: Self = Self(0x010a);
    /// Add: the store is full.
    pub const FULL: Self = Self(0x010b);
    /// Add: a constraint is not met.
    pub const CONSTRAINT: Self = Self(0x010c);
    /// Add: a dump is going on.
    pub const DUMPING: Self = Self(0x010d);
    /// Retrieve: the store is empty.
    pub const STORE_EMPTY: Self = Self(0x010f);
    /// Retrieve: no secret with that index.
    pub const NO_SUCH_INDEX: Self = Self(0x0110);
    /// Retrieve: that secret is not retrievable.
    pub const NOT_RETRIEVABLE: Self = Self(0x0111);
    /// Attest: more user data than 256 bytes.
    pub const ATTEST_USER_DATA: Self = Self(0x0102);
    /// Attest: unsupported request version.
    pub const ATTEST_VERSION: Self = Self(0x0106);
    /// Attest: the length does not fit the version.
    pub const ATTEST_LENGTH: Self = Self(0x0107);
    /// Attest: no keyslot, or too many.
    pub const ATTEST_SLOTS: Self = Self(0x0108);
    /// Attest: the encrypted area does not fit the key and the optional items.
    pub const ATTEST_ENCRYPTED_SIZE: Self = Self(0x0109);
    /// Attest: unsupported flag.
    pub const ATTEST_FLAG: Self = Self(0x010a);
    /// Attest: unsupported measurement algorithm.
    pub const ATTEST_ALGORITHM: Self = Self(0x010b);
    /// Attest: the request cannot be decrypted.
    pub const ATTEST_UNDECRYPTABLE: Self = Self(0x010c);
    /// Attest: the measurement buffer is too small.
    pub const ATTEST_MEASUREMENT_ROOM: Self = Self(0x010d);
    /// Attest: the additional-data buffer is too small.
    pub const ATTEST_ADDITIONAL_ROOM: Self = Self(0x010e);
}

impl Serialize for Rc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#06x}", self.0))
    }
}
