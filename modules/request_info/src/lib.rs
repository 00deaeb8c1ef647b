//! What `request_info` knows without looking at any file: what users type and get, and how a request that was read
//! becomes what is told of it.

pub mod codes;
pub mod options;
pub mod view;
