#!/usr/bin/env bash
# Installs a client library for Node.js, with the driver of the client matrix: node-client.sh NAME
# What to install, in which versions, is said by internal/e2e/clients/node/NAME/package.json. Leaves
# .cache/clients/NAME/driver. What is there already is left alone; downloads are tried three times.
set -euo pipefail
name=${1:?usage: node-client.sh NAME}
cd "$(dirname "$0")/.."
sources=internal/e2e/clients/node

mkdir -p ".cache/clients/$name"
home=$(realpath ".cache/clients/$name")
exec 9> "$home/lock"
flock 9 # another run of this script, for the same client
command -v npm >/dev/null || scripts/apt.sh nodejs npm
stamp="$(node --version) $(cat "$sources/conversation.mjs" "$sources/$name"/* scripts/node-client.sh | sha256sum)"
[ "$(cat "$home/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

rm -rf "$home/stamp" "$home/node_modules" "$home/package-lock.json"
cp "$sources/conversation.mjs" "$sources/$name"/* "$home/"
for pause in 3 10 0; do
  installed=yes
  npm install --silent --no-audit --no-fund --prefix "$home" >&2 && break
  installed=no
  sleep "$pause"
done
[ $installed = yes ] || { echo "node-client.sh: could not install what $sources/$name/package.json names" >&2; exit 1; }
cat > "$home/driver" <<D
#!/bin/sh
export KAFKAJS_NO_PARTITIONER_WARNING=1
exec node "$home/driver.mjs" "\$@"
D
chmod +x "$home/driver"
"$home/driver" version > /dev/null
echo "$stamp" > "$home/stamp"
