//! Where each field of an attestation request (version 0x0100) lies, and the sizes of what answers it.
//! Offsets from the start of the request.
//!
//! ```text
//! 0x00 magic, version, length, IV, number of slots, size of the encrypted area  \
//! 0x30 flags, measurement algorithm                                               | authenticated, in the clear
//! 0x40 customer public key (160)                                                  |
//! 0xE0 keyslots (80 each)                                                        /
//!  ... measurement key (64), nonce (16, absent without its flag): encrypted; then the GCM tag (16)
//! ```
//!
//! Keyslots, IV, tag and customer key are as in an add-secret request: their sizes are in [`crate::layout`].

/// Eight zero bytes.
pub const MAGIC: [u8; 8] = [0; 8];
/// The only version there is.
pub const VERSION: u32 = 0x0100;
/// u32: version.
pub const REQUEST_VERSION: usize = 0x08;
/// u32: length of the whole request with its tag.
pub const LENGTH: usize = 0x0c;
/// 12 bytes: initialisation vector of the request.
pub const IV: usize = 0x10;
/// 11 reserved bytes.
pub const RESERVED_1: usize = 0x1c;
/// u8: number of keyslots.
pub const SLOT_COUNT: usize = 0x27;
/// u32, reserved.
pub const RESERVED_2: usize = 0x28;
/// u32: size of the encrypted area, without the tag.
pub const ENCRYPTED_SIZE: usize = 0x2c;
/// u64: flags, most significant bit first.
pub const FLAGS: usize = 0x30;
/// u32: how the ultravisor is to measure.
pub const ALGORITHM: usize = 0x38;
/// HMAC with SHA-512, the only algorithm.
pub const ALGORITHM_HMAC_SHA512: u32 = 1;
/// u32, reserved.
pub const RESERVED_3: usize = 0x3c;
/// 160 bytes: the customer's public key, x then y, each left padded to 80 bytes.
pub const CUSTOMER_KEY: usize = 0x40;
/// The first keyslot.
pub const SLOTS: usize = 0xe0;
/// Length of the measurement key, the begin of the encrypted area.
pub const MEASUREMENT_KEY_LEN: usize = 64;
/// Length of the nonce behind it.
pub const NONCE_LEN: usize = 16;
/// Flag bit 1 (MSB0): there is a nonce.
pub const FLAG_NONCE: u64 = 1 << 62;
/// The longest request that the uvdevice takes (Linux `arch/s390/include/uapi/asm/uvdevice.h`).
pub const MAX_REQUEST_LEN: usize = 0x10_0000;

/// Length of a measurement by the only algorithm.
pub const MEASUREMENT_LEN: usize = 64;
/// The longest measurement that the uvdevice takes.
pub const MAX_MEASUREMENT_LEN: usize = 0x8000;
/// The longest additional data that the uvdevice takes.
pub const MAX_ADDITIONAL_LEN: usize = 0x8000;
/// The longest user data.
pub const MAX_USER_DATA_LEN: usize = 256;
/// Length of a configuration unique id.
pub const CUID_LEN: usize = 16;
/// Length of the hash of a host's public key.
pub const HOST_KEY_HASH_LEN: usize = 32;
/// Length of the hash of the secret store.
pub const STORE_HASH_LEN: usize = 64;
/// Length of the firmware state.
pub const FIRMWARE_STATE_LEN: usize = 0x140;
