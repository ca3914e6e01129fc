#!/bin/sh
# Writes orders: examples/stream/produce.sh [TRANSACTIONS]. Any client may do so; this one is psql. Each transaction has a
# few orders, and every tenth one is rolled back: nobody ever sees its orders.
set -eu
weir=${WEIR:-build/weir}
transactions=${1:-200}

i=0
while [ "$i" -lt "$transactions" ]; do
  i=$((i + 1))
  echo "BEGIN;"
  echo "INSERT INTO orders (key, payload)"
  echo "SELECT (ARRAY['tea', 'coffee', 'cocoa'])[1 + (n + $i) % 3], jsonb_build_object('amount', n * $i % 97 + 0.5)"
  echo "  FROM generate_series(1, 1 + $i % 7) n;"
  if [ $((i % 10)) -eq 0 ]; then echo "ROLLBACK;"; else echo "COMMIT;"; fi
done | "$weir" db psql -- --quiet --no-psqlrc --set ON_ERROR_STOP=1 --file -
