"""`hpo-run completion bash|zsh|fish`: the script that a shell sources, and the answers to its questions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from hpo_cli.cli import VERBS
from hpo_cli.errors import UserError
from hpo_cli.options import GROUPS, SWEEP, list_options, main_config
from hpo_cli.steer.hot import HOT, is_hot
from hpo_cli.verbs.arguments import OUTPUTS_VARIABLE, Parser

SCRIPTS = {
    "bash": """_hpo_run() {
  local IFS=$'\\n' word="${COMP_LINE:0:$COMP_POINT}"
  COMPREPLY=($(hpo-run completion --line "$word" 2>/dev/null))
  [[ ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -F _hpo_run hpo-run
""",
    "zsh": """#compdef hpo-run
_hpo_run() {
  local -a answers
  answers=("${(@f)$(hpo-run completion --line "${(j: :)words[1,$CURRENT]}" 2>/dev/null)}")
  compadd -S '' -- $answers
}
compdef _hpo_run hpo-run
""",
    "fish": """complete -c hpo-run -f -a '(hpo-run completion --line (commandline -cp) 2>/dev/null)'
""",
}
HINTS = {
    "bash": 'eval "$(hpo-run completion bash)"  in ~/.bashrc',
    "zsh": 'eval "$(hpo-run completion zsh)"  in ~/.zshrc',
    "fish": "hpo-run completion fish > ~/.config/fish/completions/hpo-run.fish",
}
RUN_VERBS = ("show", "curves", "diff", "results", "average", "test")
"""Verbs that take runs and nothing else."""
STEERING_VERBS = ("nudge", "pause", "unpause", "stop", "checkpoint", "rollback", "watch", "tree", "replay", "export")
"""Verbs that take one run, and then at most their own flags and knobs."""
KNOB_VERBS = ("nudge", "rollback", "twin")
CHILD_VERBS = ("branch",)
"""Verbs that take one run and then overrides."""
COMPOSING_VERBS = ("check", "explore", "gradcheck", "verify-resume")
PLACE_FLAGS = {"rollback": "--to", "branch": "--at", "twin": "--at"}
"""Verb -> the flag behind which a place in a run's past stands."""
PLACES = ("step=", "epoch=", "tag=", "best")


def main(argv: list[str]) -> int:
    """Print a shell's script, or with --line the words that may come next."""
    parser = Parser("completion", about="Print the completion script of a shell. " + "; ".join(HINTS.values()))
    parser.add_argument("shell", nargs="?", choices=sorted(SCRIPTS), default="bash")
    parser.add_argument("--line", help="the command line so far: print what may come next")
    args = parser.read(argv)
    text = SCRIPTS[args.shell] if args.line is None else "".join(f"{word}\n" for word in sorted(answers(args.line)))
    sys.stdout.write(text)
    return 0


def answers(text: str) -> set[str]:
    """Whole words that may stand where the line ends."""
    words = text.split()
    current = "" if not text or text[-1].isspace() else words.pop()
    before = words[1:]
    if before and before[0] in (*STEERING_VERBS, *KNOB_VERBS, *CHILD_VERBS):
        return {word for word in _steering(before[0], before[1:], current) if word.startswith(current)}
    if before and before[0] in RUN_VERBS:
        return {run for run in _runs() if run.startswith(current)}
    if before and before[0] in VERBS and before[0] not in COMPOSING_VERBS:
        return set()
    first = set() if before else {verb for verb in VERBS if verb.startswith(current)}
    return first | {word for word in _overrides(before, current) if word.startswith(current)}


def _steering(verb: str, before: list[str], current: str) -> Iterator[str]:
    """What may follow a verb that takes a run: the run, a place in its past, its knobs."""
    if not before:
        yield from _runs()
    elif before[-1] == PLACE_FLAGS.get(verb):
        yield from PLACES
        yield from (f"tag={tag}" for tag in _tags(before[0]) if current.startswith("tag="))
    elif verb in CHILD_VERBS:
        yield from _overrides(before, current)
    elif verb in KNOB_VERBS:
        yield from _knobs(current)


def _knobs(current: str) -> Iterator[str]:
    """Hot keys, and the options of the one group that is hot as a whole."""
    if current.startswith("schedule="):
        yield from (f"schedule={name}" for name in list_options("schedule"))
        return
    yield from (f"{key}=" for key in HOT)
    if current.startswith("schedule."):
        yield from (
            f"{key}=" for name in _keys("schedule", []) if (key := f"schedule.{name}") not in HOT and is_hot(key)
        )


def _tags(ref: str) -> list[str]:
    """The tags of a run; none where there is no such run."""
    from hpo_cli.record.runs import find_run
    from hpo_cli.steer.current import current_line
    from hpo_cli.steer.targets import tags

    try:
        return list(tags(current_line(find_run(ref, os.environ.get(OUTPUTS_VARIABLE) or "outputs"))))
    except UserError:
        return []


def _overrides(before: list[str], current: str) -> Iterator[str]:
    group, equals, _ = current.partition("=")
    if equals:
        yield from (f"{group}={name}" for name in (list_options(group) if group in (*GROUPS, SWEEP) else ()))
        return
    head, dot, _ = current.partition(".")
    main = main_config()
    if dot:
        yield from (f"{head}.{key}=" for key in _keys(head, before))
        return
    for key, value in main.defaults.items():
        yield f"{key}." if isinstance(value, dict) else f"{key}="
    for name in (*GROUPS, SWEEP) if {"-m", "--multirun"} & set(before) else GROUPS:
        yield f"{name}="
        yield f"{name}."


def _keys(group: str, before: list[str]) -> list[str]:
    """The keys of the option that the line has chosen, or of all options of the group."""
    shared = main_config().defaults.get(group)
    options = list_options(group) if group in (*GROUPS, SWEEP) else {}
    named = [word.partition("=")[2] for word in before if word.startswith(f"{group}=")]
    chosen = [options[name] for name in named if name in options] or list(options.values())
    return [*(key for option in chosen for key in option.keys), *(shared if isinstance(shared, dict) else ())]


def _runs() -> list[str]:
    from hpo_cli.record.places import places

    root = os.environ.get(OUTPUTS_VARIABLE) or "outputs"
    found = [(place.kind, Path(place.path).name) for place in places(root)]
    sweeps = [name for kind, name in found if kind == "sweep"]
    return ["last", "best", *(name for _, name in found), *(f"best:{name}" for name in sweeps)]
