//! Reads an evidence package and checks it offline; defines its layout
