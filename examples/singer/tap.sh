#!/bin/sh
# A Singer tap: orders (with a key) and what happened to them (without one). It goes on behind the state that it is given.
#   tap.sh [STATE_FILE [LAST_ORDER]]
set -eu
last=${2:-10}
done=$(sed -n 's/.*"done": *\([0-9][0-9]*\).*/\1/p' "${1:-/dev/null}")
awk -v first="$((${done:-0} + 1))" -v last="$last" 'BEGIN {
  print "{\"type\":\"SCHEMA\",\"stream\":\"orders\",\"key_properties\":[\"id\"],\"schema\":{\"properties\":{" \
    "\"id\":{\"type\":\"integer\"},\"at\":{\"type\":\"string\",\"format\":\"date-time\"},\"sum\":{\"type\":\"number\"}," \
    "\"customer\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}}}}}}"
  print "{\"type\":\"SCHEMA\",\"stream\":\"events\",\"key_properties\":[],\"schema\":{\"properties\":{" \
    "\"order\":{\"type\":\"integer\"},\"what\":{\"type\":\"string\"}}}}"
  for (id = first; id <= last; id++) {
    printf "{\"type\":\"RECORD\",\"stream\":\"orders\",\"record\":{\"id\":%d,\"at\":\"2026-01-%02dT12:00:00Z\"," \
      "\"sum\":%d.50,\"customer\":{\"name\":\"customer %d\"}}}\n", id, (id - 1) % 28 + 1, id * 10, id % 3
    printf "{\"type\":\"RECORD\",\"stream\":\"events\",\"record\":{\"order\":%d,\"what\":\"paid\"}}\n", id
    if (id % 4 == 0 || id == last) printf "{\"type\":\"STATE\",\"value\":{\"done\":%d}}\n", id
  }
}'
