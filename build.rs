//! Compiles `proto/`, and gRPC's own health checking, with protox, so that a fresh machine needs no protoc. Keeps the
//! descriptors for reflection.

use std::path::PathBuf;
use std::{env, error::Error, fs};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut files = Vec::new();
    for entry in fs::read_dir("proto/aegis/v1")? {
        files.push(entry?.path());
    }
    files.sort();

    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);

    println!("cargo:rerun-if-changed=src/proto/grpc");
    let health = protox::compile(["grpc/health/v1/health.proto"], ["src/proto"])?;
    fs::write(out.join("grpc.health.v1.bin"), health.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".grpc.health.v1.HealthCheckRequest", "::tonic_health::pb::HealthCheckRequest")
        .extern_path(".grpc.health.v1.HealthCheckResponse", "::tonic_health::pb::HealthCheckResponse")
        .codec_path("crate::proto::codec::StrictCodec")
        .compile_fds(health)?;
    fs::write(out.join("aegis.v1.bin"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure()
        // A row is much larger than the other messages of the stream.
        .boxed(".aegis.v1.StreamAuditResponse.event.row")
        .codec_path("crate::proto::codec::StrictCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
