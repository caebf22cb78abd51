//! Sequencer, RocksDB store, signer, gRPC and tile doors, fsck
