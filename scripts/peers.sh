#!/usr/bin/env bash
# Installs what the tests run besides Exhibit itself: npm packages into tests/peers/node_modules, by the lockfile; PyPI
# packages into a virtual environment outside the checkout, by tests/peers/requirements.txt; Go programs into a folder
# outside the checkout, by tests/peers/go. Does nothing when all are there. What cannot be installed is told in one line,
# and the tests that need it fail; only when there is no network and EXHIBIT_OFFLINE is set are they skipped, which they
# say. Go itself is optional: without one that is new enough the tests that need it are skipped, and say so.
set -u
cd "$(dirname "$0")/../tests/peers"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

digest() { cat "$@" | sha256sum | cut -c1-16; }

# missing WHAT OFFLINE-MARKER: the last command failed, and why stands in $log.
missing() {
  if grep -qE 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ECONNRESET|Failed to establish a new connection|Temporary failure in name resolution|Name or service not known|Network is unreachable|no such host|server misbehaving|i/o timeout|Could not find a version.*\(from versions: none\)' "$log"; then
    mkdir -p "$(dirname "$2")"
    : >"$2"
    echo "peers: no network: $1 cannot be installed; the tests that need them will fail, or be SKIPPED with EXHIBIT_OFFLINE=1" >&2
  else
    echo "peers: $1 cannot be installed, and the tests that need them will fail: $( (grep -i error "$log" || cat "$log") | head -3 | tr '\n' ' ' | cut -c1-300)" >&2
  fi
}

npm_packages() {
  local stamp="node_modules/.installed-$(digest package.json package-lock.json)"
  [ -e "$stamp" ] && return
  echo "peers: installing npm packages"
  rm -f node_modules/.offline
  if ! command -v npm >/dev/null 2>&1; then
    echo "error: there is no npm (apt install npm)" >"$log"
  elif npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >"$log" 2>&1; then
    : >"$stamp"
    return
  fi
  missing "npm packages" node_modules/.offline
}

python_packages() {
  local venv="$HOME/.cache/exhibit-venv-$(digest requirements.txt)"
  [ -e "$venv/.installed" ] && return
  echo "peers: installing PyPI packages"
  rm -f "$venv.offline"
  if python3 -m venv --clear "$venv" >"$log" 2>&1 &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check --retries 2 --no-deps \
      --requirement requirements.txt >"$log" 2>&1; then
    : >"$venv/.installed"
    return
  fi
  missing "PyPI packages" "$venv.offline"
}

# go_programs FOLDER PACKAGE...: builds the packages of tests/peers/FOLDER and those named.
go_programs() {
  local folder="$1" out
  shift
  out="$HOME/.cache/exhibit-$folder-$(cd "$folder" && digest go.mod go.sum $(find . -name '*.go' | LC_ALL=C sort))"
  [ -e "$out/.installed" ] && return
  rm -f "$out.offline" "$out.absent"
  local needed found
  needed=$(sed -n 's/^go //p' "$folder/go.mod")
  found=$(go env GOVERSION 2>/dev/null | sed 's/^go//')
  if [ "$(printf '%s\n' "$needed" "${found:-0}" | sort -V | head -1)" != "$needed" ]; then
    mkdir -p "$(dirname "$out")"
    : >"$out.absent"
    echo "peers: there is no Go ${needed%.0} or newer (found: ${found:-none}; the one of Debian 12 is too old): the tests that need it will be SKIPPED" >&2
    return
  fi
  echo "peers: building Go programs"
  if (cd "$folder" && GOTOOLCHAIN=local GOFLAGS='' go build -mod=readonly -buildvcs=false -trimpath -o "$out/" ./... "$@") >"$log" 2>&1; then
    : >"$out/.installed"
    return
  fi
  missing "Go programs of tests/peers/$folder" "$out.offline"
}

npm_packages
python_packages
go_programs go github.com/transparency-dev/tessera/cmd/fsck
go_programs go-witness
go_programs go-log
