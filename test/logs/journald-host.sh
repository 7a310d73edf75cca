# journald-host.sh HUSK TAR HOME UID GID: in a mount namespace of its own: systemd-journald, and containers of an ordinary user that log to it.
set -eu
husk=$1 tar=$2 home=$3 uid=$4 gid=$5
cd /
mount -t tmpfs run /run
mount -t tmpfs log /var/log
mkdir -p /run/systemd/journal /run/log/journal
# as systemd-tmpfiles would have it
chgrp systemd-journal /run/log/journal
chmod 2755 /run/log/journal
/lib/systemd/systemd-journald >/dev/null 2>&1 &
journald=$!
trap 'kill $journald' EXIT
for try in $(seq 300); do [ -S /run/systemd/journal/socket ] && break; sleep 0.2; done
# with the group that may read every journal: without a disk there are no journals of single users
user() { setpriv --reuid "$uid" --regid "$gid" --groups systemd-journal env HOME="$home" TMPDIR="$home/tmp" XDG_RUNTIME_DIR="$home/run" XDG_DATA_HOME="$home/data" XDG_CONFIG_HOME="$home/config" "$@"; }
user "$husk" import --change 'CMD ["sh"]' - base <"$tar" >/dev/null
logged() { user "$husk" run --isolation=userns --network=none --log-driver=journald --log-opt=labels=team --label=team=x "$@"; }
logged --name one base sh -c 'echo out; echo err >&2; printf "\377\n"; head -c 20000 /dev/zero | tr "\0" a' >/dev/null 2>&1
logged -d --name two base sh -c 'for i in 1 2 3; do echo $i; sleep 0.2; done' >/dev/null
echo "follow: $(user "$husk" logs -f two | tr '\n' ' ')"
# one that has ended: read to its end, whatever journalctl needs to begin
echo "followed: $(user "$husk" logs -f --tail 2 two | tr '\n' ' ')"
echo "tail: $(user "$husk" logs --tail 1 two)"
echo "stderr: $(user "$husk" logs one 2>&1 >/dev/null)"
echo "details: $(user "$husk" logs --details one 2>/dev/null | head -1)"
echo "bytes: $(user "$husk" logs one 2>/dev/null | sed -n 2p | od -An -tx1)"
echo "long: $(user "$husk" logs one 2>/dev/null | tail -1 | wc -c)"
echo "journal: $(journalctl -q --no-pager -o cat CONTAINER_NAME=two | tr '\n' ' ')"
user "$husk" rm -f one two >/dev/null
