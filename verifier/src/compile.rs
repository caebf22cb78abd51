//! Compiling a policy snapshot that others wrote.

use controls::Snapshot;

/// Stack on which policies are parsed: the parser of the policy engine descends once for each level of nesting, and what
/// `controls` lets pass must fit however small the caller's own stack is.
const STACK_BYTES: usize = 64 << 20;

/// Compiles a snapshot on a stack of its own.
///
/// # Errors
/// Why the bytes are no snapshot, or its parts do not compile.
pub(crate) fn compile(bytes: &[u8]) -> Result<Snapshot, String> {
    let ended = std::thread::scope(|scope| {
        let compiling = std::thread::Builder::new()
            .name("compile".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || Snapshot::parse(bytes).map_err(|error| error.to_string()));
        match compiling {
            Ok(compiling) => {
                compiling.join().map_err(|_| "the policy engine failed on it".to_owned())
            }
            Err(error) => Err(format!("no thread to compile it on: {error}")),
        }
    });
    ended?
}
