//! Where each field of an add-secret request (version 0x0100) lies. Offsets from the start of the request.
//!
//! ```text
//! 0x000 magic, user-data type, version, length, IV, number of slots, size of the encrypted area
//! 0x030 flags, digests and tag of the image, CUID          \
//! 0x218 user data (512)                                     | authenticated, in the clear
//! 0x418 customer public key (160)                           |
//! 0x4B8 keyslots (80 each), then the secret header (16|48) /
//!  ...  secret, extension secret (32): encrypted; then the GCM tag (16)
//! ```

/// `asrcbM`, the first six bytes.
pub const MAGIC: [u8; 6] = *b"asrcbM";
/// The only version there is.
pub const VERSION: u32 = 0x0100;

/// u16: type of the user data.
pub const USER_DATA_TYPE: usize = 0x006;
/// u32: version.
pub const REQUEST_VERSION: usize = 0x008;
/// u32: length of the whole request with its tag.
pub const LENGTH: usize = 0x00c;
/// 12 bytes: initialisation vector of the request.
pub const IV: usize = 0x010;
/// Length of [`IV`].
pub const IV_LEN: usize = 12;
/// u8: number of keyslots.
pub const SLOT_COUNT: usize = 0x027;
/// u32: size of the encrypted area, without the tag.
pub const ENCRYPTED_SIZE: usize = 0x02c;
/// u64: flags, most significant bit first.
pub const FLAGS: usize = 0x030;
/// 64 bytes: page list digest of the image; address list digest and tweak list digest (64 each) and the image
/// header's tag (16) follow: together 208 bytes that bind the request to one image.
pub const IMAGE_TAGS: usize = 0x038;
/// Length of [`IMAGE_TAGS`].
pub const IMAGE_TAGS_LEN: usize = 208;
/// 16 bytes: tag of the image's header; the last part of [`IMAGE_TAGS`].
pub const IMAGE_HEADER_TAG: usize = 0x0f8;
/// 16 bytes: configuration unique id; zeros: not bound to one start of one guest.
pub const CUID: usize = 0x108;
/// 512 bytes: user data and its signature.
pub const USER_DATA: usize = 0x218;
/// Length of [`USER_DATA`].
pub const USER_DATA_LEN: usize = 512;
/// 160 bytes: the customer's public key, x then y, each left padded to 80 bytes.
pub const CUSTOMER_KEY: usize = 0x418;
/// Length of [`CUSTOMER_KEY`].
pub const CUSTOMER_KEY_LEN: usize = 160;
/// The first keyslot.
pub const SLOTS: usize = 0x4b8;
/// Length of a keyslot: hash of the host's public key (32), wrapped request key (32), GCM tag (16).
pub const SLOT_LEN: usize = 80;
/// Most keyslots that fit the count.
pub const MAX_SLOTS: usize = 255;
/// Length of the secret header of a meta request; all others have [`SECRET_HEADER_LEN`].
pub const META_HEADER_LEN: usize = 16;
/// Length of the secret header: 2 reserved, u16 type, u32 secret size, 8 reserved, 32 bytes id.
pub const SECRET_HEADER_LEN: usize = 48;
/// Length of the extension secret, the end of the encrypted area.
pub const EXTENSION_SECRET_LEN: usize = 32;
/// Length of a GCM tag.
pub const TAG_LEN: usize = 16;
/// The longest request that the uvdevice takes (Linux `drivers/s390/char/uvdevice.c`).
pub const MAX_REQUEST_LEN: usize = 0x10_0000;
/// Flag bit 0 (MSB0): the guest cannot be dumped from then on.
pub const FLAG_DISABLE_DUMP: u64 = 1 << 63;
