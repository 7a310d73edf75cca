# Makes a database where there is none, and serves it.
PATH=$PATH:/usr/lib/postgresql/15/bin
[ -s "$PGDATA/PG_VERSION" ] || initdb --auth=trust --no-sync --username=postgres "$PGDATA" >/dev/null || exit
echo 'host all all all trust' >"$PGDATA/pg_hba.conf"
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp
