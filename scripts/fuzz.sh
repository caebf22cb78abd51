#!/usr/bin/env bash
# Runs each fuzz target for some seconds (60, or $1; others: names after it) with libFuzzer and AddressSanitizer, on a nightly
# toolchain. The kept corpus is read; what a run finds goes beside the build, and what fails into fuzz/libfuzzer/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../fuzz/libfuzzer"

seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
if ! rustup toolchain list | grep -q '^nightly'; then
    echo "fuzz: no nightly toolchain: rustup toolchain install nightly" >&2
    exit 1
fi

# Lints of the stable build do not go with another toolchain.
unset RUSTC_WORKSPACE_WRAPPER CLIPPY_ARGS
# The versions of the stable build.
cp ../../Cargo.lock Cargo.lock
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
build=${CARGO_TARGET_DIR:-$HOME/.cache/exhibit-target}/fuzz
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS="--cfg fuzzing $coverage -Zsanitizer=address -Cdebug-assertions -Ccodegen-units=1" CARGO_TARGET_DIR=$build \
    cargo +nightly build --release --target "$host" --bins

for target in "${targets[@]}"; do
    mkdir -p "$build/found/$target" artifacts
    echo "fuzz $target: $seconds s"
    "$build/$host/release/$target" -max_total_time="$seconds" -max_len=70000 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target-" "$build/found/$target" "../corpus/$target" 2>&1 |
        grep -E '^(SUMMARY|ERROR|.*(stat::|Done |panicked|BINGO|Test unit written))' || true
    # The pipe hides the fuzzer's own status; what it found does not.
    if compgen -G "artifacts/$target-*" >/dev/null; then
        echo "fuzz $target: FAILED, see fuzz/libfuzzer/artifacts" >&2
        exit 1
    fi
done
