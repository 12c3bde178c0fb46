#!/usr/bin/env bash
# Two VPCs as network namespaces, and the services that both may reach:
#
#   VPC A     ${NETNS_PREFIX}a    10.101.0.2
#   VPC B     ${NETNS_PREFIX}b    10.102.0.2
#   services  ${NETNS_PREFIX}svc  10.103.0.2   bucket, STS, control plane
#   router    ${NETNS_PREFIX}rt   between them; lets A and B reach services, and nothing pass between A and B
#
#   netns.sh up               makes them; does nothing when they are there
#   netns.sh down             ends what runs in them and removes them; does nothing when they are not
#   netns.sh exec a|b|svc COMMAND...
#   netns.sh counters         prints a line "NAME PACKETS BYTES" for each counter of packets between A and B
#   netns.sh reset            sets those counters to 0
#   netns.sh cut a|b|svc      drops everything of one side at the router; netns.sh heal ends that
#
# A packet from A to B, or back, of whatever protocol, is counted where it is sent (output in A and B), where it enters
# the router (prerouting), where it is dropped (forward), where it would leave it (postrouting), and where it would arrive (input in A
# and B). Only namespaces that this script made are ever touched: a mark in each says so. The machine's own
# network gets no address, no route, no bridge and no rule. Needs root.
set -euo pipefail

prefix=${NETNS_PREFIX:?netns.sh: set NETNS_PREFIX, unique on this machine, such as walls-\$\$-}
sides=(a b svc)

die() { echo "netns.sh: $*" >&2; exit 1; }

subnet() {
  case $1 in
    a) echo 10.101.0 ;;
    b) echo 10.102.0 ;;
    svc) echo 10.103.0 ;;
    *) die "no side $1: a, b or svc" ;;
  esac
}

exists() { ip netns list | awk '{ print $1 }' | grep -qxF "$prefix$1"; }

# ours NAME: whether this script made it; the mark is an alias of its loopback device, and goes with it.
ours() { exists "$1" && ip -n "$prefix$1" -details link show lo | grep -qxF "    alias isthmus netns.sh"; }

make() {
  ip netns add "$prefix$1"
  ip -n "$prefix$1" link set lo alias "isthmus netns.sh"
  ip -n "$prefix$1" link set lo up
}

connect() {
  local side=$1 net
  net=$(subnet "$side")
  ip -n "${prefix}rt" link add "to-$side" type veth peer name eth0 netns "$prefix$side"
  ip -n "${prefix}rt" addr add "$net.1/24" dev "to-$side"
  ip -n "${prefix}rt" link set "to-$side" up
  ip -n "$prefix$side" addr add "$net.2/24" dev eth0
  ip -n "$prefix$side" link set eth0 up
  ip -n "$prefix$side" route add default via "$net.1"
}

router_rules() {
  cat <<'NFT'
table inet walls {
  counter a_to_b_entered { }
  counter b_to_a_entered { }
  counter a_to_b_dropped { }
  counter b_to_a_dropped { }
  counter a_to_b_left { }
  counter b_to_a_left { }
  chain entered {
    type filter hook prerouting priority -300; policy accept;
    iifname "to-a" ip daddr 10.102.0.0/24 counter name a_to_b_entered
    iifname "to-b" ip daddr 10.101.0.0/24 counter name b_to_a_entered
  }
  chain cut { }
  chain forward {
    type filter hook forward priority 0; policy drop;
    iifname "to-a" oifname "to-b" counter name a_to_b_dropped drop
    iifname "to-b" oifname "to-a" counter name b_to_a_dropped drop
    jump cut
    iifname { "to-a", "to-b" } oifname "to-svc" accept
    iifname "to-svc" oifname { "to-a", "to-b" } ct state established,related accept
  }
  chain left {
    type filter hook postrouting priority 300; policy accept;
    iifname "to-a" oifname "to-b" counter name a_to_b_left
    iifname "to-b" oifname "to-a" counter name b_to_a_left
  }
  chain input { type filter hook input priority 0; policy drop; icmp type echo-request accept; }
}
NFT
}

# vpc_rules COUNTER-OUT COUNTER-IN OTHER-SUBNET
vpc_rules() {
  cat <<NFT
table inet walls {
  counter $1 { }
  counter $2 { }
  chain sent { type filter hook output priority -300; policy accept; ip daddr $3.0/24 counter name $1; }
  chain arrived { type filter hook prerouting priority -300; policy accept; ip saddr $3.0/24 counter name $2; }
}
NFT
}

up() {
  local side names=0
  for side in "${sides[@]}" rt; do
    if ours "$side"; then
      names=$((names + 1))
    elif exists "$side"; then
      die "the namespace $prefix$side is there, and not of this script's making: choose another NETNS_PREFIX"
    fi
  done
  [ $names -lt 4 ] || return 0
  down # what an interrupted run left
  trap down EXIT # what follows stands in no condition, so that set -e holds inside
  for side in "${sides[@]}" rt; do make "$side"; done
  for side in "${sides[@]}"; do connect "$side"; done
  ip netns exec "${prefix}rt" sysctl -qw net.ipv4.ip_forward=1
  router_rules | ip netns exec "${prefix}rt" nft -f -
  vpc_rules a_to_b_sent b_to_a_arrived "$(subnet b)" | ip netns exec "${prefix}a" nft -f -
  vpc_rules b_to_a_sent a_to_b_arrived "$(subnet a)" | ip netns exec "${prefix}b" nft -f -
  trap - EXIT
}

# end NAME: kills what runs in a namespace, and waits until it has ended.
end() {
  local pid pids signal
  for signal in TERM KILL; do
    for _ in $(seq 50); do
      pids=$(ip netns pids "$prefix$1")
      [ -n "$pids" ] || return 0
      for pid in $pids; do kill -s "$signal" "$pid" 2>/dev/null || true; done
      sleep 0.1
    done
  done
  die "processes in $prefix$1 do not end: $pids"
}

down() {
  local side
  for side in "${sides[@]}" rt; do
    ours "$side" || continue
    end "$side"
    ip netns del "$prefix$side"
  done
}

counters() {
  local side
  for side in rt a b; do
    ip netns exec "$prefix$side" nft list counters table inet walls |
      awk '$1 == "counter" { name = $2 } $1 == "packets" { print name, $2, $4 }'
  done
}

reset_counters() {
  local side
  for side in rt a b; do ip netns exec "$prefix$side" nft reset counters table inet walls >/dev/null; done
}

cut_off() {
  subnet "$1" >/dev/null
  ip netns exec "${prefix}rt" nft -f - <<NFT
add rule inet walls cut iifname "to-$1" drop
add rule inet walls cut oifname "to-$1" drop
NFT
}

case ${1:-} in
  up) up ;;
  down) down ;;
  exec)
    subnet "${2:?netns.sh exec a|b|svc COMMAND...}" >/dev/null
    side=$2
    shift 2
    exec ip netns exec "$prefix$side" "$@"
    ;;
  counters) counters ;;
  reset) reset_counters ;;
  cut) cut_off "${2:?netns.sh cut a|b|svc}" ;;
  heal) ip netns exec "${prefix}rt" nft flush chain inet walls cut ;;
  *) sed -n '2,20s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
