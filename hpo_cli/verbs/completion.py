"""`hpo-run completion bash|zsh|fish`: the script that a shell sources, and the answers to its questions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from hpo_cli.cli import VERBS
from hpo_cli.options import GROUPS, list_options, main_config
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
COMPOSING_VERBS = ("check", "explore", "gradcheck")


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
    if before and before[0] in RUN_VERBS:
        return {run for run in _runs() if run.startswith(current)}
    if before and before[0] in VERBS and before[0] not in COMPOSING_VERBS:
        return set()
    first = set() if before else {verb for verb in VERBS if verb.startswith(current)}
    return first | {word for word in _overrides(before, current) if word.startswith(current)}


def _overrides(before: list[str], current: str) -> Iterator[str]:
    group, equals, _ = current.partition("=")
    if equals:
        yield from (f"{group}={name}" for name in (list_options(group) if group in GROUPS else ()))
        return
    head, dot, _ = current.partition(".")
    main = main_config()
    if dot:
        yield from (f"{head}.{key}=" for key in _keys(head, before))
        return
    for key, value in main.defaults.items():
        yield f"{key}." if isinstance(value, dict) else f"{key}="
    for name in GROUPS:
        yield f"{name}="
        yield f"{name}."


def _keys(group: str, before: list[str]) -> list[str]:
    """The keys of the option that the line has chosen, or of all options of the group."""
    shared = main_config().defaults.get(group)
    options = list_options(group) if group in GROUPS else {}
    named = [word.partition("=")[2] for word in before if word.startswith(f"{group}=")]
    chosen = [options[name] for name in named if name in options] or list(options.values())
    return [*(key for option in chosen for key in option.keys), *(shared if isinstance(shared, dict) else ())]


def _runs() -> list[str]:
    from hpo_cli.record.runs import walk

    root = os.environ.get(OUTPUTS_VARIABLE) or "outputs"
    return ["last", "best", *(Path(path).name for path in walk(root))]
