#!/usr/bin/env bash
# A real S3 and STS server for the end-to-end tests: Ceph's object gateway, with one monitor and one storage
# daemon that keeps everything in memory. It listens on loopback, or at an address of the network namespace it is run in.
#
#   ceph.sh up      installs what is missing, starts it if it does not answer, prints the file of settings
#   ceph.sh env     prints the settings: eval "$(scripts/ceph.sh env)"
#   ceph.sh down    stops it and removes its folder
#
# Everything lives in ${ISTHMUS_E2E_DIR:-/tmp/isthmus-e2e}/ceph. The gateway listens twice, plain
# and over TLS with a CA of its own. CEPH_ADDRESS (127.0.0.1), and ports: CEPH_PORT (17480), CEPH_TLS_PORT (17443),
# CEPH_MON_PORT (16789).
set -euo pipefail

scripts=$(cd "$(dirname "$0")" && pwd)
dir=${ISTHMUS_E2E_DIR:-/tmp/isthmus-e2e}/ceph
address=${CEPH_ADDRESS:-127.0.0.1}
port=${CEPH_PORT:-17480}
tls_port=${CEPH_TLS_PORT:-17443}
mon_port=${CEPH_MON_PORT:-16789}
bucket=isthmus
access_key=isthmuse2e
secret_key=isthmus-e2e-secret
export CEPH_CONF=$dir/ceph.conf

die() { echo "ceph.sh: $*" >&2; exit 1; }

# wait_for SECONDS WHAT COMMAND...: tries the command until it succeeds.
wait_for() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "$what did not come up; look at $dir/log"
    sleep 0.1
  done
}

# running NAME: whether the process in NAME.pid is one of ours and lives.
running() {
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
  grep -qz "^CEPH_CONF=$CEPH_CONF\$" "/proc/$pid/environ" 2>/dev/null
}

# start NAME COMMAND...: runs a daemon in the background, deaf to the terminal.
start() {
  local name=$1
  shift
  setsid "$@" </dev/null >"$dir/log/$name.out" 2>&1 &
  echo $! >"$dir/$name.pid"
}

answers() {
  curl -s -o /dev/null --max-time 2 "http://$address:$port/" &&
    curl -s -o /dev/null --max-time 2 --cacert "$dir/tls/ca.pem" "https://$address:$tls_port/"
}

write_conf() {
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $1
mon host = v2:$address:$mon_port
mon initial members = a
public addr = $address
public network = $address/32
ms bind ipv4 = true
ms bind ipv6 = false
keyring = $dir/keyring
run dir = $dir/run
admin socket = $dir/run/\$name.asok
log file = $dir/log/\$name.log
# One daemon holds the only copy.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
# A monitor alone has nobody to wait for.
paxos propose interval = 0.05
paxos min wait = 0.01
osd mon heartbeat interval = 1
[mon.a]
mon data = $dir/mon
[osd.0]
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd memory target = 939524096
osd op num shards = 1
osd op num threads per shard = 1
[client.rgw.a]
rgw frontends = beast endpoint=$address:$port ssl_endpoint=$address:$tls_port ssl_certificate=$dir/tls/server.pem ssl_private_key=$dir/tls/server.key tcp_nodelay=1
rgw dns name = localhost
rgw sts key = isthmus-e2e-sts-
rgw s3 auth use sts = true
rgw enable usage log = false
rgw enable ops log = false
rgw run sync thread = false
rgw thread pool size = 64
rgw gc obj min wait = 5
CONF
}

write_keys() {
  ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *'
  ceph-authtool "$dir/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-authtool "$dir/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  ceph-authtool "$dir/keyring" --gen-key -n client.rgw.a --cap mon 'allow rw' --cap osd 'allow rwx'
}

write_certificates() {
  local tls=$dir/tls
  mkdir -p "$tls"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
    -subj "/CN=isthmus e2e CA" -keyout "$tls/ca.key" -out "$tls/ca.pem" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
    -keyout "$tls/server.key" -out "$tls/server.csr"
  printf 'subjectAltName=DNS:localhost,IP:%s\nextendedKeyUsage=serverAuth\n' "$address" >"$tls/server.ext"
  openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 30 \
    -extfile "$tls/server.ext" -out "$tls/server.pem"
}

write_env() {
  cat >"$dir/env" <<ENV
export ISTHMUS_E2E_S3=http://$address:$port
export ISTHMUS_E2E_S3_TLS=https://$address:$tls_port
export ISTHMUS_E2E_S3_CA=$dir/tls/ca.pem
export ISTHMUS_E2E_S3_BUCKET=$bucket
export AWS_ACCESS_KEY_ID=$access_key
export AWS_SECRET_ACCESS_KEY=$secret_key
export AWS_REGION=us-east-1
ENV
}

start_monitor() {
  monmaptool --create --addv a "[v2:$address:$mon_port]" --fsid "$1" "$dir/monmap"
  ceph-mon --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
  start mon ceph-mon -f -i a
  wait_for 60 "the monitor" timeout 3 ceph -s
  ceph config set mon auth_allow_insecure_global_id_reclaim false
}

start_storage() {
  local uuid
  uuid=$(cat /proc/sys/kernel/random/uuid)
  ceph osd new "$uuid" 0
  mkdir -p "$dir/osd"
  ceph-osd -i 0 --mkfs --osd-uuid "$uuid"
  start osd ceph-osd -f -i 0
  wait_for 60 "the storage daemon" sh -c "timeout 3 ceph osd stat | grep -q '1 up'"
}

start_gateway() {
  start rgw radosgw -f -n client.rgw.a
  wait_for 120 "the gateway" answers
}

# The bucket is made with the old signature, which openssl can compute; curl's own --aws-sigv4
# is refused where curl is older than 8.
make_user_and_bucket() {
  local now signature
  radosgw-admin user create --uid isthmus --display-name isthmus --access-key "$access_key" --secret-key "$secret_key"
  now=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
  signature=$(printf 'PUT\n\n\n%s\n/%s' "$now" "$bucket" | openssl dgst -sha1 -hmac "$secret_key" -binary | openssl base64)
  curl -fsS --retry 5 --retry-all-errors -X PUT -H "Date: $now" -H "Authorization: AWS $access_key:$signature" \
    "http://$address:$port/$bucket"
}

set_up() {
  local fsid
  fsid=$(cat /proc/sys/kernel/random/uuid)
  write_conf "$fsid"
  write_keys
  write_certificates
  start_monitor "$fsid"
  start_storage
  start_gateway
  make_user_and_bucket
  write_env
}

up() {
  if running mon && running osd && running rgw && [ -f "$dir/env" ] && answers; then
    echo "$dir/env"
    return
  fi
  "$scripts/apt.sh" ceph-mon ceph-osd ceph-common radosgw openssl curl
  down
  mkdir -p "$dir/log" "$dir/run" "$dir/mon"
  echo "ceph.sh: starting, messages in $dir/log/up.out" >&2
  trap 'tail -n 20 "$dir/log/up.out" >&2' EXIT # set_up stands in no condition, so that set -e holds inside
  set_up >"$dir/log/up.out" 2>&1
  trap - EXIT
  echo "$dir/env"
}

# down stops what the pid files name, and only while those processes are ours.
down() {
  local name
  for name in rgw osd mon; do
    if running "$name"; then
      kill "$(cat "$dir/$name.pid")"
      for _ in $(seq 50); do running "$name" || break; sleep 0.1; done
      running "$name" && kill -9 "$(cat "$dir/$name.pid")"
    fi
  done
  rm -rf "$dir"
}

case ${1:-} in
  up) up ;;
  env) cat "$dir/env" 2>/dev/null || die "not running; call scripts/ceph.sh up first" ;;
  down) down ;;
  *) echo "usage: ceph.sh up|env|down" >&2; exit 2 ;;
esac
