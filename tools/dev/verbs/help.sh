# summary: show this table, or how to use a verb
# usage: ./dev help [VERB]

# shellcheck shell=bash
if [[ $# == 0 ]]; then
  printf 'usage: ./dev VERB [argument...]\n\n'
  for name in up test build bench fmt lint asan tsan chaos cov fuzz fresh clean help; do
    printf '  %-6s  %s\n' "$name" "$(sed -n 's/^# summary: //p' "$WEIR_ROOT/tools/dev/verbs/$name.sh")"
  done
  printf '\n./dev help VERB says more. Missing Debian packages are installed without a question.\n'
  exit
fi

file=$WEIR_ROOT/tools/dev/verbs/$1.sh
[[ $1 != */* && -f $file ]] || unknown_verb "$1"
# The comment at the top of the verb's file, usage first.
sed -n 's/^# usage:/usage:/p' "$file"
printf '\n'
sed -e '/^$/,$d' -e '/^# usage:/d' -e 's/^# summary: \(.*\)/\1/' -e 's/^# \{0,1\}//' "$file"
