#!/bin/sh
# Submits batches of ten orders: examples/batches/produce.sh [SHOPS [BATCHES [FIRST]]]. Each shop is a group; what it sends is a
# run, named by its first order, and the last batch is the final one. Submitted again, they are the same batches.
set -eu
weir=${WEIR:-build/weir}
shops=${1:-4}
batches=${2:-50}
first=${3:-0}

awk -v shops="$shops" -v batches="$batches" -v first="$first" 'BEGIN {
  for (b = 0; b < batches; b++)
    for (s = 1; s <= shops; s++) {
      rows = ""
      for (n = 0; n < 10; n++) {
        id = s * 1000000 + first + b * 10 + n
        rows = rows (n ? "," : "") sprintf("{\"id\":%d,\"shop\":\"shop-%d\",\"day\":\"2026-11-%02d\",\"amount\":%.2f}",
                                           id, s, 1 + id % 28, id % 97 + 0.25)
      }
      printf "{\"tenant\":\"shop-%d\",\"key\":\"orders\",\"run\":\"from-%d\",\"index\":%d,\"final\":%s,\"rows\":10,\"payload\":[%s]}\n",
             s, first, b, b == batches - 1 ? "true" : "false", rows
    }
}' | "$weir" batch submit --feed shop --from -
