//! The code generated from the protos: the messages, clients and service traits of `aegis.v1` (`proto/`) and of gRPC's
//! health checking, and their descriptors.

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

/// gRPC's health checking.
#[expect(
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the comments of health.proto are its documentation"
)]
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// The descriptors of gRPC's health checking, for reflection.
pub const HEALTH_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/grpc.health.v1.bin"));

/// The descriptors of the API, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/aegis.v1.bin"));
