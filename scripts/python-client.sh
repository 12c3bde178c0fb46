#!/usr/bin/env bash
# Installs a client library for Python, with the driver of the client matrix:
#   python-client.sh NAME DRIVER.py LIBRARY==VERSION [WHAT-IT-NEEDS==VERSION...]
# Leaves .cache/clients/NAME/driver. What is there in these versions is left alone; downloads are tried
# three times. Packages come built: a Python that is too new for a version of a client is an error, not a compilation.
set -euo pipefail
[ $# -gt 2 ] || { echo "usage: python-client.sh NAME DRIVER.py LIBRARY==VERSION..." >&2; exit 2; }
cd "$(dirname "$0")/.."
name=$1 driver=$2
shift 2
sources=internal/e2e/clients/python

mkdir -p ".cache/clients/$name"
home=$(realpath ".cache/clients/$name")
exec 9> "$home/lock"
flock 9 # another run of this script, for the same client
python3 -c 'import ensurepip, venv' 2>/dev/null || scripts/apt.sh python3 python3-venv
stamp="$* $(python3 --version) $(cat "$sources/conversation.py" "$sources/$driver" scripts/python-client.sh | sha256sum)"
[ "$(cat "$home/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

rm -rf "$home/stamp" "$home/venv"
python3 -m venv "$home/venv"
for pause in 3 10 0; do
  installed=yes
  "$home/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: "$@" >&2 && break
  installed=no
  sleep "$pause"
done
[ $installed = yes ] || { echo "python-client.sh: could not install $* for $(python3 --version)" >&2; exit 1; }
cp "$sources/conversation.py" "$sources/$driver" "$home/"
cat > "$home/driver" <<D
#!/bin/sh
exec "$home/venv/bin/python" "$home/$driver" "\$@"
D
chmod +x "$home/driver"
"$home/driver" version > /dev/null
echo "$stamp" > "$home/stamp"
