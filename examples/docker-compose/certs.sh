#!/usr/bin/env bash
# The lab's authority, and a folder of certificates for each service: it is given that one, and no other's keys.
# Files are readable by the containers' user; the folder around them is yours alone. For trying out: they hold for 30 days.
set -euo pipefail
out=${1:-$(cd "$(dirname "$0")" && pwd)/certs}
umask 022
mkdir -p "$out/authority"
chmod 0700 "$out" "$out/authority"
cd "$out/authority"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=lab -keyout ca.key -out ca.crt \
  -addext keyUsage=critical,keyCertSign -addext subjectAltName=URI:spiffe://lab 2>/dev/null

issue() { # FOLDER NAME USAGE SUBJECT-ALTERNATIVE-NAMES
  mkdir -p "../$1"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "../$1/$2.key" -out request 2>/dev/null
  openssl x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "../$1/$2.crt" 2>/dev/null -extfile <(
    printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$3" "$4")
  cp ca.crt "../$1/"
  chmod 0644 "../$1"/*
}

issue control control serverAuth DNS:control,DNS:localhost,IP:127.0.0.1
issue operator operator clientAuth URI:spiffe://lab/operator
issue producers agent clientAuth URI:spiffe://lab/prod/producers
issue consumers agent clientAuth URI:spiffe://lab/analytics/consumers
echo "certs.sh: wrote $out"
