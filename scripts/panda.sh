#!/usr/bin/env bash
# One run looked after on a machine without a scheduler: starts it, and goes on with it after a crash, a kill or a
# reboot, until it has ended well; to the same bits as a run that was never stopped.
#
#   scripts/panda.sh outputs/panda/first data=fashion_mnist model=cnn epochs=200
#
# The first word is the run's folder, the others are those of hpo-run. Where the folder exists already, its run goes on
# and the other words are not read; a run that has ended is left alone. So a line in the crontab brings it back after a
# reboot:
#
#   @reboot cd ~/project && PATH=.venv/bin:$PATH scripts/panda.sh outputs/panda/first data=fashion_mnist >>panda.log 2>&1
#
# Ctrl-C and SIGTERM are passed on: the run saves and the loop ends (130, 143). It ends with 0 when the run has finished
# or was told to `stop`, with 2 when the words were wrong, and with the run's own code when TRIES=3 starts in a row left
# no newer checkpoint. PAUSE=5 is how many seconds it waits before it starts again. HPO_RUN=hpo-run is what it calls.
set -u
set -m # the run is in a group of its own: a Ctrl-C reaches it once, from here

tries=${TRIES:-3} pause=${PAUSE:-5}
read -ra command <<<"${HPO_RUN:-hpo-run}"

say() { echo "panda: $(date -u +%FT%TZ) $*"; }

# Step of the newest checkpoint, which tells whether a start got anywhere.
newest_step() {
  local line
  line=$(grep '"event": "checkpointed"' "$folder/ledger.jsonl" 2>/dev/null | tail -n 1)
  [[ $line =~ \"step\":\ ([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo none
}

# Whether the run came to its end, or somebody told it to stop.
has_ended() {
  grep -oE '"event": "(started|resumed|finished|stopped|failed|interrupted)"' "$folder/ledger.jsonl" 2>/dev/null |
    tail -n 1 | grep -qE 'finished|stopped'
}

# shellcheck disable=SC2317 # the traps call it
pass_on() {
  asked=$1
  [ -z "$child" ] || kill -"$1" "$child" 2>/dev/null
}

# Starts the run or goes on with it, and waits; `code` is how it ended.
look_after() {
  local words=("$@")
  if grep -qs '"event": "started"' "$folder/ledger.jsonl"; then
    words=("resume=$folder")
  else
    [ ! -e "$folder" ] || mv "$folder" "$folder.torn-$(date +%s)" # killed before its first line was written
    words+=("hydra.run.dir='$folder'")
  fi
  say "${command[*]} ${words[*]}"
  "${command[@]}" "${words[@]}" &
  child=$!
  [ -z "$asked" ] || kill -"$asked" "$child"
  while :; do # a signal ends `wait` early
    wait "$child"
    code=$?
    kill -0 "$child" 2>/dev/null || break
  done
  wait "$child" 2>/dev/null
  local last=$?
  [ "$last" -eq 127 ] || code=$last
  child=
}

case "${1:-}" in
  "" | -* | *=*)
    sed -n '2,17s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
folder=${1%/} child='' asked='' code=0 futile=0
shift
mkdir -p "$(dirname "$folder")" || exit 2
command -v flock >/dev/null || { say "needs flock (util-linux)"; exit 2; }
exec 9>"$folder.lock" || exit 2
flock -n 9 || { say "another loop, or the run that it left, looks after $folder"; exit 2; }
if has_ended; then
  say "$folder has ended already; to go on: hpo-run resume=$folder epochs+=10"
  exit 0
fi
trap 'pass_on INT' INT
trap 'pass_on TERM' TERM

while :; do
  begin=$(newest_step)
  look_after "$@"
  if [ "$(newest_step)" = "$begin" ]; then futile=$((futile + 1)); else futile=0; fi
  case $code in
    0 | 2 | 126 | 127 | 130 | 143)
      say "ended with code $code"
      exit "$code"
      ;;
  esac
  [ -z "$asked" ] || exit "$code"
  if [ "$futile" -ge "$tries" ]; then
    say "ended with code $code; $tries starts in a row left no newer checkpoint than $begin"
    exit "$code"
  fi
  say "ended with code $code at step $(newest_step); again in $pause s"
  sleep "$pause" &
  wait $!
  [ -z "$asked" ] || exit $((asked == INT ? 130 : 143))
done
