//! The code generated from `proto/`: the messages, clients and service traits of `aegis.v1`, and their descriptors.

pub mod codec;

/// The API.
#[expect(
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the comments of proto/ are its documentation"
)]
pub mod v1 {
    tonic::include_proto!("aegis.v1");
}

/// The descriptors of the API, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/aegis.v1.bin"));
