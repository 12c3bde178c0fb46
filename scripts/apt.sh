#!/usr/bin/env bash
# Installs Debian packages that are not there yet: apt.sh PACKAGE...
# Mirrors fail now and then, so every step is tried again; another apt at work is waited for.
# Without root it goes through sudo; where neither is to be had it says what to run, and fails.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: apt.sh PACKAGE..." >&2; exit 2; }

missing=()
for package in "$@"; do
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || { echo "apt.sh: no apt-get here; install by other means: ${missing[*]}" >&2; exit 1; }
sudo=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "apt.sh: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi

apt() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 "$@"; }

echo "apt.sh: installing ${missing[*]}" >&2
for pause in 3 10 30 0; do
  if apt update >&2 && apt install -y --no-install-recommends "${missing[@]}" >&2; then
    exit 0
  fi
  echo "apt.sh: failed, trying again in ${pause}s" >&2
  sleep "$pause"
done
echo "apt.sh: could not install ${missing[*]}; look at the messages above, or try later" >&2
exit 1
