#!/bin/sh
# Brings the tables of the database up to date. `docker compose up` does it too; run it by hand before an upgrade.
set -eu
cd "$(dirname "$0")"
exec docker compose run --rm --build migrate
