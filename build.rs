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
    say_origin();
    Ok(())
}

/// Tells the program its commit and its target. The commit comes from `AEGIS_COMMIT`, or from git in a release build: a
/// debug build would be compiled anew after every commit.
fn say_origin() {
    println!("cargo:rerun-if-env-changed=AEGIS_COMMIT");
    let mut commit = env::var("AEGIS_COMMIT").ok().filter(|commit| !commit.is_empty());
    if commit.is_none() && env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo:rerun-if-changed=.git/logs/HEAD");
        let git = std::process::Command::new("git").args(["rev-parse", "HEAD"]).output();
        commit = git
            .ok()
            .filter(|git| git.status.success())
            .map(|git| String::from_utf8_lossy(&git.stdout).trim().to_owned());
    }
    println!("cargo:rustc-env=BUILD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=BUILD_TARGET={}", env::var("TARGET").unwrap_or_default());
}
