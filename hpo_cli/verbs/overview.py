"""`hpo-run --help` and `hpo-run optimizer=adam --help`: what can be typed, read from the option files alone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo_cli.cli import VERBS
from hpo_cli.console.output import Line, Span, is_terminal, line, width, write
from hpo_cli.errors import UserError, did_you_mean, shown
from hpo_cli.options import GROUPS, SWEEP, Option, list_groups, list_options, main_config
from hpo_cli.record.flat import flatten
from hpo_cli.sweep.own import conditions_of
from hpo_cli.verbs.composing import composing_parser, read_words

EXAMPLES = (
    ("hpo-run", "train the default: an mlp on digits"),
    ("hpo-run optimizer=sgd lr=0.05 epochs=40", "change words"),
    ("hpo-run model=cnn data=fashion_mnist regularization.dropout=0.3", "change options and their keys"),
    ("hpo-run data=csv data.path=mine.csv data.target=label", "train on your own table"),
    ("hpo-run check model=cnn model.depth=4", "look before you train"),
    ("hpo-run nudge last lr/=3", "change a run while it trains"),
    ("hpo-run curves last best", "compare what you have"),
)
_NARROWEST = 20  # columns in which a note is still worth wrapping
PURPOSES = {
    "look at runs": ("ls", "show", "curves", "diff", "watch", "results"),
    "steer a run while it trains": ("nudge", "pause", "unpause", "stop", "checkpoint", "rollback"),
    "make runs from runs": ("branch", "twin", "tree", "replay", "export"),
    "search with many runs": ("sensitivity", "sweep", "best", "report"),
    "use what was trained": ("test", "average", "folds"),
    "look before you train": ("explore", "check", "gradcheck", "verify-resume"),
}
"""What verbs are for -> the verbs, as the overview lists them."""
OTHER_FLAGS = ("--resolve", "--multirun", "-m", "--version")
"""Flags that `--help` passes over."""


def print_help(words: Sequence[str]) -> int:
    """Print the overview, or for words such as `optimizer` and `optimizer=adam` what these take."""
    found, _ = read_words(composing_parser("", about=""), [word for word in words if word not in OTHER_FLAGS])
    config_dir, topics = found.config_dir, found.overrides
    write([one for topic in topics for one in _topic(topic, config_dir)] if topics else list(_overview(config_dir)))
    return 0


def _overview(config_dir: Path | None) -> Iterator[Line]:
    yield line(Span("hpo-run", "bold"), " trains neural networks from config files, and looks after the runs.")
    yield line("")
    yield line(Span("usage", "bold"))
    yield line("  hpo-run [key=value ...]      train one run")
    yield line("  hpo-run resume=RUN [...]     go on with one that was stopped or killed")
    yield line("  hpo-run -m [key=a,b ...]     train many, and find the best: hpo-run --help sweep")
    yield line("  hpo-run VERB [...]           look at runs and steer them; hpo-run VERB --help tells more")
    yield line("")
    yield from _verbs()
    yield line(Span("words", "bold"), "  (key=value)")
    yield from _keys(main_config(), prefix="", only=_top_words())
    yield line("")
    yield line(Span("groups", "bold"), "  (group=option; more: hpo-run --help optimizer, --help optimizer=adam)")
    for group in list_groups(config_dir=config_dir):
        yield from _group(group, config_dir)
    yield line("  and checkpoint, finetune, rescue: hpo-run --help rescue")
    yield line("  with -m:")
    yield from _group(SWEEP, config_dir)
    yield line("")
    yield line(Span("flags", "bold"))
    yield line("  --cfg job|hydra|all [--resolve]   print the composed config and stop")
    yield line("  --config-dir DIR                  your own options: DIR/model/mine.yaml")
    yield line("  --config-name NAME                another main config, from DIR")
    yield line("  --version                         which hpo-run this is")
    yield line("")
    yield line(Span("examples", "bold"))
    for command, about in EXAMPLES:
        yield line(f"  {command}")
        yield line(Span(f"      {about}", "dim"))


def _verbs() -> Iterator[Line]:
    """Every verb, those of one purpose together."""
    placed = {verb for verbs in PURPOSES.values() for verb in verbs}
    others = tuple(verb for verb in VERBS if verb not in placed)
    widest = max(map(len, VERBS))
    for purpose, verbs in {**PURPOSES, "other verbs": others}.items():
        if verbs:
            yield line(Span(purpose, "bold"))
            for verb in verbs:
                yield from _noted(f"  {verb:{widest}}  ", VERBS[verb])
            yield line("")


def _top_words() -> list[str]:
    return [key for key, value in main_config().defaults.items() if not isinstance(value, dict)]


def _group(group: str, config_dir: Path | None) -> Iterator[Line]:
    """The names of a group's options."""
    yield from _noted(f"  {group:14} ", ", ".join(list_options(group, config_dir=config_dir)))


def _noted(left: str, note: str, *, style: str = "") -> Iterator[Line]:
    """`left` and a note beside it, on as many lines as a terminal needs; a pipe gets one."""
    room = width() - len(left) if is_terminal() else 0
    parts = textwrap.wrap(note, room, break_on_hyphens=False) if room >= _NARROWEST else [note]
    for index, part in enumerate(parts or [""]):
        yield line(left if index == 0 else " " * len(left), Span(part, style))


def _topic(topic: str, config_dir: Path | None) -> Iterator[Line]:
    group, _, name = topic.partition("=")
    group = group.split(".")[0]
    groups = (*list_groups(config_dir=config_dir), SWEEP)
    if group in main_config().defaults and group not in groups:
        yield from _keys(main_config(), prefix="", only=[group])
        yield from _shared_keys(group)
    elif group in groups:
        options = list_options(group, config_dir=config_dir)
        if name and name not in options:
            raise UserError(f"{topic}: {group} has {', '.join(options)}; {did_you_mean(name, options)}".rstrip("; "))
        if name or len(options) == 1:
            yield from _option(options[name] if name else next(iter(options.values())))
        else:
            yield from _options(group, options)
    else:
        known = [*groups, *_top_words()]
        near = did_you_mean(group, known) or f"groups are {', '.join(GROUPS)}"
        raise UserError(f"{topic}: no group and no word of the config; {near}")


def _options(group: str, options: Mapping[str, Option]) -> Iterator[Line]:
    """One line an option, and the keys that all of them share."""
    widest = max(map(len, options))
    for option in options.values():
        yield from _noted(f"{group}={option.name:{widest}}  ", option.description, style="dim")
    yield line("")
    shared = list(_keys(options["default"], prefix=f"{group}.", only=options["default"].keys)) if group == SWEEP else []
    if shared := shared or list(_shared_keys(group)):
        yield line(Span("keys of all of them", "bold"))
        yield from shared
        yield line("")
    yield line(f"hpo-run --help {group}={next(iter(options))} shows the keys of one")


def _option(option: Option) -> Iterator[Line]:
    yield line(Span(f"{option.group}={option.name}", "bold"), f"  {option.description}")
    for group, name in option.choices.items():
        yield line(f"  {group}={name}")
    if option.group == "experiment":  # it sets words of the whole config
        for key, value in flatten(option.defaults).items():
            yield line(f"  {key}={shown(value)}")
    else:
        yield from _keys(option, prefix=f"{option.group}.", only=option.keys)
    for word in option.space:
        if word not in option.keys:  # a word at the top, such as batch_size of the group batch
            yield from _key(word, main_config().defaults[word], [_space_words(option.space[word])])
    yield from _shared_keys(option.group, besides=option.keys)
    yield line("")


def _shared_keys(group: str, besides: Sequence[str] = ()) -> Iterator[Line]:
    main = main_config()
    shared = main.defaults.get(group)
    if isinstance(shared, dict):
        for key, value in shared.items():
            if key not in besides:
                name = f"{group}.{key}"
                yield from _key(name, value, [main.comments.get(name, ""), _rule_words(main.rules.get(name, {}))])


def _keys(option: Option, *, prefix: str, only: Sequence[str]) -> Iterator[Line]:
    for key in only:
        value = option.defaults[key]
        if not isinstance(value, dict):
            notes = [option.comments.get(key, ""), _rule_words(option.rules.get(key, {}))]
            yield from _key(prefix + key, value, [*notes, _space_words(option.space.get(key))])


def _key(name: str, value: object, notes: Sequence[str]) -> Iterator[Line]:
    yield from _noted(f"  {f'{name}={shown(value)}':40}  ", "; ".join(note for note in notes if note), style="dim")


def _rule_words(rule: dict[str, Any]) -> str:
    if "one_of" in rule:
        return "one of " + ", ".join(map(str, rule["one_of"]))
    words = {"above": "above", "min": "at least", "below": "below", "max": "at most"}
    return " and ".join(f"{text} {rule[word]}" for word, text in words.items() if word in rule)


def _space_words(space: dict[str, Any] | None) -> str:
    """What is worth trying: `try 0.001 .. 0.1 (log), first 0.01, with schedule.mode=exp_range`."""
    if not space:
        return ""
    if "choices" in space:
        text = "try " + ", ".join(map(str, space["choices"]))
    else:
        notes = ["log"] if space.get("scale") == "log" else []
        notes += [f"step {space['step']:g}"] if "step" in space else []
        text = f"try {space['low']:g} .. {space['high']:g}" + (f" ({', '.join(notes)})" if notes else "")
    text += f", first {shown(space['prior'])}" if "prior" in space else ""
    return text + "".join(f", with {condition}" for condition in conditions_of(space))
