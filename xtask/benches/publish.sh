#!/usr/bin/env bash
# How long publishing both editions takes, against `helm push` of the same archives, on a registry of this machine.
# Measured is the build that `cargo xtask` runs. The first push shall take three times Helm's at the most, a second one under 100 ms, with nothing sent.
# Before it, in a clean checkout: cargo xtask test (builds the tools), cargo xtask package --require-all.
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=${1:-5}
port=${2:-5099}
folder=$(mktemp -d)
cargo build --quiet --package xtask
export CARGO_MANIFEST_DIR=$PWD/xtask

cat > "$folder/config.yaml" <<CONFIG
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/storage}}
http: {addr: 127.0.0.1:$port}
CONFIG
OTEL_TRACES_EXPORTER=none target/tools/registry serve "$folder/config.yaml" 2> "$folder/registry.log" &
registry=$!
trap 'kill $registry; rm -r "$folder"' EXIT
until (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do sleep 0.1; done

# Milliseconds that a command takes; the best of the runs, each with a folder of charts of its own.
best() {
  local least=999999 run start took
  for run in $(seq "$runs"); do
    start=$(date +%s%N)
    "$1" "oci://127.0.0.1:$port/$2-$run" > "$folder/output" 2>&1 || { cat "$folder/output" >&2; exit 1; }
    took=$((($(date +%s%N) - start) / 1000000))
    [ "$took" -lt "$least" ] && least=$took
  done
  echo "$least"
}

helm_push() { for archive in dist/*.tgz; do target/tools/helm4 push "$archive" "$1" --plain-http; done; }
publish() { target/debug/xtask publish "$1" --plain-http --no-rebuild; }

echo "helm push, both editions:      $(best helm_push helm) ms"
echo "publish, the first time:       $(best publish ours) ms, with bills of materials and statements"
echo "publish, a second time:        $(best publish ours) ms; $(grep -c 'nothing was sent' "$folder/output") of $(ls dist/*.tgz | wc -l) had nothing to send"
