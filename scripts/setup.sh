#!/usr/bin/env bash
# Installs the system packages that the build and the tests need, when they are missing and we may.
set -eu

packages=()
need() { # need COMMAND-OR-FILE PACKAGE
  command -v "$1" >/dev/null 2>&1 || packages+=("$2")
}
need cc build-essential
need c++ build-essential
need clang++ clang
need git git
need curl curl
need ssh-keygen openssh-client
need python3 python3
if ! compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && ! compgen -G '/usr/lib/*/libclang*.so*' >/dev/null; then
  packages+=(libclang-dev clang)
fi
# ensurepip is what a virtual environment needs; Debian ships it apart.
python3 -c 'import ensurepip' >/dev/null 2>&1 || packages+=(python3-venv)
command -v npm >/dev/null 2>&1 || packages+=(nodejs npm)

if [ ${#packages[@]} -gt 0 ]; then
  sudo=""
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "setup: cannot install ${packages[*]}: neither root nor sudo; install them by hand" >&2
      exit 1
    fi
    sudo=sudo
  fi
  echo "setup: installing ${packages[*]}"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

if ! command -v cargo >/dev/null 2>&1; then
  echo "setup: cargo is missing: install it with rustup (https://rustup.rs), then run make again" >&2
  exit 1
fi
