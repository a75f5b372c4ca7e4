#!/usr/bin/env bash
# What a person would write: certificates by openssl, six containers, redis-cli --cluster create, and a wait until every node says ok and every
# replica's link is up. The same image, limits and server settings as Holdfast's. With PARALLEL=1 the containers start side by side.
set -euo pipefail
name=$1 image=$2 server=$3 cli=$4 subnet=$5 folder=$6
work=$folder/$name && mkdir -p "$work" && cd "$work"
docker network create --subnet "$subnet.0/24" --label "holdfast.bench=$name" "$name" >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -subj "/CN=ca of $name" -days 30 2>/dev/null
password=$(openssl rand -hex 24)
start() {
  local i=$1 ip=$subnet.1$1
  mkdir -p "$i/db" "$i/tls" "$i/conf"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$i/tls/node.key" -out "$i/node.csr" -subj "/CN=$name-$i" 2>/dev/null
  openssl x509 -req -in "$i/node.csr" -CA ca.crt -CAkey ca.key -set_serial "$((RANDOM + i))" -out "$i/tls/node.crt" -days 30 -extfile <(echo "subjectAltName=IP:$ip") 2>/dev/null
  cp ca.crt "$i/tls/ca.crt"
  cat > "$i/conf/server.conf" <<CONF
port 0
tls-port 6379
tls-cluster yes
tls-replication yes
tls-auth-clients optional
tls-ca-cert-file /data/tls/ca.crt
tls-cert-file /data/tls/node.crt
tls-key-file /data/tls/node.key
dir /data/db
cluster-enabled yes
cluster-announce-ip $ip
cluster-node-timeout 5000
repl-diskless-sync-delay 0
appendonly yes
maxmemory 100663296
requirepass $password
masterauth $password
CONF
  chown -R 10001:10001 "$i"
  docker run -d --name "$name-$i" --label "holdfast.bench=$name" --network "$name" --ip "$ip" -v "$work/$i:/data" --user 10001:10001 --memory 128m --memory-swap 128m --cpus 1 \
    --pids-limit 256 --cap-drop ALL --security-opt no-new-privileges --read-only --restart unless-stopped --entrypoint "$server" "$image" /data/conf/server.conf >/dev/null
}
for i in 0 1 2 3 4 5; do
  if [ "${PARALLEL:-0}" = 1 ]; then start "$i" & else start "$i"; fi
done
wait
ask() { docker exec -e "REDISCLI_AUTH=$password" -e "VALKEYCLI_AUTH=$password" "$name-$1" "$cli" --tls --cacert /data/tls/ca.crt -h "$subnet.1$1" "${@:2}"; }
for i in 0 1 2 3 4 5; do until ask "$i" ping 2>/dev/null | grep -q PONG; do sleep 0.1; done; done
nodes=$(for i in 0 1 2 3 4 5; do echo "$subnet.1$i:6379"; done)
# shellcheck disable=SC2086
ask 0 --cluster create $nodes --cluster-replicas 1 --cluster-yes >/dev/null
for i in 0 1 2 3 4 5; do
  until ask "$i" cluster info | grep -q cluster_state:ok && ! ask "$i" info replication | grep -q master_link_status:down; do sleep 0.1; done
done
