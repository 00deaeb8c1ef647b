//! What the unit tests of several modules need.

#[allow(dead_code, reason = "the tests of guest-sim use the rest of it")]
#[path = "../../guest-sim/tests/common/arcb.rs"]
pub mod arcb;
#[path = "../../guest-sim/tests/common/host.rs"]
mod host;
#[path = "../../guest-sim/tests/common/request.rs"]
pub mod request;
pub use host::{Host, reference_image};
pub use request as build;
