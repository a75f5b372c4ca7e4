/** Makes the database on first start and runs the server, as the public image's entrypoint does with the variables that we set. */
export const postgresEntrypoint = `#!/bin/sh
set -eu
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chown -R postgres:postgres "$PGDATA"
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  umask 077
  printf '%s' "$POSTGRES_PASSWORD" >/tmp/pwfile
  initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile=/tmp/pwfile --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
  rm /tmp/pwfile
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE \\"$POSTGRES_USER\\"" | postgres --single -D "$PGDATA" postgres
fi
exec "$@" -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp
`;

/** Stands where SeaweedFS stands: an S3 server on its port, on the folder of its volume, with the keys of its configuration. */
export const objectsShim = `#!/bin/sh
set -eu
key() { sed -n "s/.*\\"$1\\": \\"\\([^\\"]*\\)\\".*/\\1/p" /etc/seaweedfs/s3.json; }
export ROOT_ACCESS_KEY="$(key accessKey)" ROOT_SECRET_KEY="$(key secretKey)"
mkdir -p /data/s3
exec versitygw --port 0.0.0.0:8333 posix /data/s3
`;
