//! Compiles the `.proto` files without `protoc`; the services only with feature `grpc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["exhibit/v1/entry.proto", "exhibit/v1/ledger.proto"];
    println!("cargo::rerun-if-changed=exhibit");
    let descriptors = protox::compile(files, ["."])?;
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
