//! Compiles `proto/` with protox, so that a fresh machine needs no protoc, and keeps the descriptors for reflection.

use std::path::PathBuf;
use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut files = Vec::new();
    for entry in fs::read_dir("proto/aegis/v1")? {
        files.push(entry?.path());
    }
    files.sort();

    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("aegis.v1.bin"), prost_encode(&descriptors))?;

    tonic_prost_build::configure()
        .build_transport(true)
        // A decision is large beside the other variants and travels once.
        .boxed("aegis.v1.StreamAuditResponse.event.row")
        .compile_fds(descriptors)?;
    Ok(())
}

fn prost_encode(descriptors: &impl prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}
