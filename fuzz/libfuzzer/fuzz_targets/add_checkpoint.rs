#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    targets::witnessed::add_checkpoint(data);
});
