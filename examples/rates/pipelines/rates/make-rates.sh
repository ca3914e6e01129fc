#!/bin/sh
# make-rates.sh TIME: 50 quarters of an hour of four pairs. The same ones for the same minute, and a few others for the
# next one, so that a refresh has something to do.
set -eu
export LC_ALL=C
minute=$(printf '%s' "$1" | cut -c15-16)
mkdir -p data
awk -v minute="$minute" 'BEGIN {
  n = split("XAGUSD XAGEUR XAGGBP XAGJPY", pair, " ")
  split("31.2 29.1 24.8 4890", base, " ")
  print "ts,pair,rate,bid,ask,volume,venue"
  for (quarter = 0; quarter < 50; quarter++)
    for (p = 1; p <= n; p++) {
      drift = ((quarter * 7 + p * 3) % 23 - 11) / 2000
      if (quarter >= 48) drift += minute / 10000   # the latest rates move
      rate = base[p] * (1 + drift)
      hour = 8 + int(quarter / 4)
      printf "2026-01-05T%02d:%02d:00Z,%s,%.4f,%.4f,%.4f,%d,%s\n", hour, quarter % 4 * 15, pair[p], rate,
        rate * 0.9996, rate * 1.0004, 10000 + (quarter * 37 + p * 11) % 900 * 100, p % 2 ? "comex" : "lbma"
    }
}' > data/rates.csv.new
mv data/rates.csv.new data/rates.csv
echo "$(($(wc -l < data/rates.csv) - 1)) rates"
