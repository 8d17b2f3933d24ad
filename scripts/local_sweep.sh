#!/usr/bin/env bash
# One sweep kept going on a machine without a scheduler: starts it, and goes on with it after a crash, a kill or a
# reboot, until it is over. Finished trials are kept, the others go on from their checkpoints.
#
#   scripts/local_sweep.sh outputs/sweeps/first optimizer=adam,sgd sweep=tpe sweep.trials=50
#
# The first word is the sweep's folder, the others are those of hpo-run -m. The same command on another machine that
# sees the folder joins in. A sweep that is over is left alone, so a line in the crontab brings it back after a reboot:
#
#   @reboot cd ~/project && PATH=.venv/bin:$PATH scripts/local_sweep.sh outputs/sweeps/first sweep=tpe >>sweep.log 2>&1
#
# Ctrl-C and SIGTERM are passed on: running trials save and the loop ends (130, 143); a second one ends them at once.
# It ends with 0 when all trials ended well, with 1 when the sweep is over and some failed for good, with 2 when the
# words were wrong, and with the sweep's own code when TRIES=3 starts in a row got nowhere. PAUSE=5 is how many seconds
# it waits before it starts again. HPO_RUN=hpo-run is what it calls.
set -u
set -m # the sweep is in a group of its own: a Ctrl-C reaches it once, from here

tries=${TRIES:-3} pause=${PAUSE:-5}
read -ra command <<<"${HPO_RUN:-hpo-run}"

say() { echo "sweep: $(date -u +%FT%TZ) $*"; }

# How many trials have ended and checkpoints were written, which tells whether a start got anywhere.
progress() {
  cat "$folder"/sweep.jsonl "$folder"/*/ledger.jsonl 2>/dev/null | grep -cE '"event": "(ended|checkpointed)"'
}

is_over() {
  grep -oE '"event": "(began|joined|proposed|ordered|adopting|edited|ended_sweep)"' "$folder/sweep.jsonl" 2>/dev/null |
    tail -n 1 | grep -q ended_sweep
}

# shellcheck disable=SC2317 # the traps call it
pass_on() {
  asked=$1
  [ -z "$child" ] || kill -"$1" "$child" 2>/dev/null
}

# Starts the sweep or goes on with it, and waits; `code` is how it ended.
look_after() {
  local words=(-m "$@" "sweep.dir='$folder'")
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
    sed -n '2,18s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
folder=${1%/} child='' asked='' code=0 futile=0
shift
mkdir -p "$(dirname "$folder")" || exit 2
command -v flock >/dev/null || { say "needs flock (util-linux)"; exit 2; }
exec 9>"$folder.$(hostname).lock" || exit 2
flock -n 9 || { say "another loop on this machine, or the sweep that it left, works on $folder"; exit 2; }
if is_over; then
  say "$folder is over already; for more: hpo-run -m sweep.resume=$folder sweep.trials=100"
  exit 0
fi
trap 'pass_on INT' INT
trap 'pass_on TERM' TERM

while :; do
  begin=$(progress)
  look_after "$@"
  if [ "$(progress)" = "$begin" ]; then futile=$((futile + 1)); else futile=0; fi
  case $code in
    0 | 2 | 126 | 127 | 130 | 143)
      say "ended with code $code"
      exit "$code"
      ;;
  esac
  [ -z "$asked" ] || exit "$code"
  if is_over; then
    say "over, with code $code: some trials failed, see hpo-run best $folder"
    exit "$code"
  fi
  if [ "$futile" -ge "$tries" ]; then
    say "ended with code $code; $tries starts in a row got nowhere"
    exit "$code"
  fi
  say "ended with code $code; again in $pause s"
  sleep "$pause" &
  wait $!
  [ -z "$asked" ] || exit $((asked == INT ? 130 : 143))
done
