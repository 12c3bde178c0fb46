#!/usr/bin/env bash
# kafkajs, with the codecs that it asks its users to add. Leaves .cache/clients/kafkajs/driver.
set -euo pipefail
cd "$(dirname "$0")/../.."
sources=internal/e2e/clients/kafkajs

mkdir -p .cache/clients/kafkajs
home=$(realpath .cache/clients/kafkajs)
exec 9> "$home/lock"
flock 9 # another run of this script
command -v npm >/dev/null || scripts/apt.sh nodejs npm
stamp="$(node --version) $(cat "$sources"/package.json "$sources"/driver.js scripts/clients/kafkajs.sh | sha256sum)"
[ "$(cat "$home/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

rm -rf "$home/stamp" "$home/node_modules" "$home/package-lock.json"
cp "$sources"/package.json "$sources"/driver.js "$home/"
for pause in 3 10 0; do
  installed=yes
  npm install --silent --no-audit --no-fund --prefix "$home" >&2 && break
  installed=no
  sleep "$pause"
done
[ $installed = yes ] || { echo "kafkajs.sh: could not install what $sources/package.json names" >&2; exit 1; }
cat > "$home/driver" <<D
#!/bin/sh
export KAFKAJS_NO_PARTITIONER_WARNING=1
exec node "$home/driver.js" "\$@"
D
chmod +x "$home/driver"
"$home/driver" version > /dev/null
echo "$stamp" > "$home/stamp"
