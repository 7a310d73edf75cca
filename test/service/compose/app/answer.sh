#!/bin/sh
# One answer of HTTP: the greeting of the build, and how often the database has been asked.
while read -r line && [ -n "${line%?}" ]; do :; done
body=$(cat /srv/greeting; /usr/lib/postgresql/15/bin/psql -qtAX -h "$DATABASE" -U postgres -c 'SET client_min_messages TO warning' -c 'CREATE TABLE IF NOT EXISTS visits (at timestamp)' -c 'INSERT INTO visits VALUES (now())' -c 'SELECT count(*) > 0 FROM visits' 2>&1)
printf 'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s\n' "$((${#body} + 1))" "$body"
