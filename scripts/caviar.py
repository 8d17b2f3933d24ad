"""Sweeps over optimizers with their own ranges on real data and writes what the commands printed, into docs/caviar.md.

    python scripts/caviar.py [--outputs DIR] [--page docs/caviar.md] [--fashion DIR] [--workers 2]

A small CNN on a tenth of Fashion-MNIST (mnist1d where its files are not found): some minutes of two cores. The report
is photographed where a Chromium is installed. Exit code 1, and an untouched page, when a command failed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
FASHION = Path("/usr/share/datasets/fashion-mnist")
BEGIN, END = "<!-- the sweep: written by scripts/caviar.py -->", "<!-- the end of the sweep -->"
PICTURE = "caviar-report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SWEEP = "outputs/caviar/first"


@dataclass(frozen=True)
class Data:
    """about: in a few words.   words: of the data and a model that fits it."""

    about: str
    words: str


DATA = {
    "fashion_mnist": Data(
        "a CNN on a tenth of Fashion-MNIST",
        "data=fashion_mnist data.subset=0.1 model=cnn model.channels=8 model.depth=2",
    ),
    "mnist1d": Data("an MLP on mnist1d", "data=mnist1d model=mlp"),
}
OPTIMIZERS = "sgd,momentum,adagrad,rmsprop,adam,adamw"
WORDS = (
    "-m name=caviar {data} batch_size=64 epochs=9 optimizer={optimizers} sweep=asha sweep.groups=[optimizer] "
    "sweep.trials=40 sweep.workers={workers} sweep.dir={sweep} trainer=cpu"
)


def give_up(text: str) -> NoReturn:
    sys.exit(f"caviar: {text}")


class Kitchen:
    """Runs commands in a folder and keeps what they printed as Markdown."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Prose."""
        self.lines += [text.strip(), ""]

    def do(self, words: str, *, lines: int | None = None) -> str:
        """Run a command and show it with its first lines; all that it printed."""
        printed = self._run(shlex.split(words))
        shown = [line.rstrip() for line in printed.strip("\n").splitlines()]
        if lines is not None and len(shown) > lines:
            shown = [*shown[:lines], "..."]
        self.lines += ["```", f"$ hpo-run {words}", *shown, "```", ""]
        return printed

    def ask(self, words: str) -> Any:
        """What a command says in JSON."""
        return json.loads(self._run([*shlex.split(words), "--json"]))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows of Markdown."""
        lines = [head, ["---"] * len(head), *rows]
        self.lines += [*("| " + " | ".join(map(str, row)) + " |" for row in lines), ""]

    def _run(self, words: list[str]) -> str:
        environment = {**os.environ, "COLUMNS": "110", "LINES": "40", "PYTHONPATH": str(ROOT), "LOGNAME": "ada"}
        environment.pop("HPO_RUN_OUTPUTS", None)
        done = subprocess.run(
            [sys.executable, "-m", "hpo_cli.cli", *words], cwd=self.place, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=7200, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            give_up(f"{shlex.join(words)}: exit code {done.returncode}\n{done.stdout}")
        return done.stdout


def cook(kitchen: Kitchen, data: Data, *, workers: int) -> None:
    """The whole story."""
    words = WORDS.format(data=data.words, optimizers=OPTIMIZERS, workers=workers, sweep=SWEEP)
    kitchen.say("Which of six optimizers, each at which rate? First what it will cost:")
    kitchen.do(words.replace("-m ", "-m --dry-run ", 1))
    kitchen.say("Then in earnest. Each optimizer has its own ranges; a trial that is not among the best third stops.")
    kitchen.do(words, lines=24)
    kitchen.do(f"best {SWEEP}")
    trials = list(read_trials(kitchen.place / SWEEP))
    kitchen.say("By optimizer: how many trials each had, how many of those went to the end, and the best of them.")
    kitchen.table(("optimizer", "trials", "to the end", "best", "its rate"), by_optimizer(trials))
    kitchen.say(learnt(trials))
    kitchen.say("One file with all curves, to keep and to send:")
    kitchen.do(f"report {SWEEP} --output report.html")
    kitchen.say("The winner as a panda, for twice as long, and a small caviar of its children:")
    winner = json.loads((kitchen.place / SWEEP / "best.json").read_text())["run"]
    kitchen.do(f"resume={SWEEP}/{winner} epochs=18", lines=6)
    kitchen.do(
        f"-m resume={SWEEP}/{winner}@last lr=1e-2,3e-3,1e-3,3e-4 epochs=24 sweep.workers={workers} name=children"
    )


@dataclass(frozen=True)
class Trial:
    """What the sweep's log has of one."""

    setting: Mapping[str, Any]
    epoch: int
    value: float | None

    @property
    def optimizer(self) -> str:
        """Which one it trained with."""
        return str(self.setting.get("optimizer"))

    @property
    def rate(self) -> float | None:
        """The learning rate that was searched."""
        return self.setting.get("lr", self.setting.get("optimizer.lr"))


def read_trials(folder: Path) -> Iterator[Trial]:
    """The trials of the sweep in `folder`, by its log."""
    events = [json.loads(line) for line in (folder / "sweep.jsonl").read_text().splitlines()]
    ended = {event["trial"]: event for event in events if event["event"] == "ended"}
    for event in events:
        if event["event"] == "proposed" and event["trial"] in ended:
            end = ended[event["trial"]]
            yield Trial(event["setting"], end["epoch"], (end["values"] or [None])[0])


def by_optimizer(trials: Sequence[Trial]) -> list[tuple[str, int, int, str, str]]:
    """Rows of a table, the best optimizer first."""
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.optimizer].append(trial)
    last = max(trial.epoch for trial in trials)
    best = {name: max(group, key=lambda one: one.value or 0.0) for name, group in groups.items()}
    order = sorted(groups, key=lambda name: -(best[name].value or 0.0))
    return [
        (
            f"`{name}`", len(groups[name]), sum(one.epoch == last for one in groups[name]),
            f"{best[name].value or 0.0:.4f}", f"{best[name].rate or 0.0:.3g}",
        )
        for name in order
    ]  # fmt: skip


def learnt(trials: Sequence[Trial]) -> str:
    """What the figures say, in a sentence that is true whatever they are."""
    most = max(trial.epoch for trial in trials)
    spent, whole = sum(trial.epoch for trial in trials), most * len(trials)
    ended = sum(trial.epoch == most for trial in trials)
    values = sorted((trial.value or 0.0 for trial in trials), reverse=True)
    return (
        f"{len(trials)} trials took {spent} epochs where {whole} would have trained all of them to the end "
        f"({whole / spent:.1f} times as many); {ended} got there. The best reached {values[0]:.4f}, the median trial "
        f"{values[len(values) // 2]:.4f}: the setting matters more than another epoch does."
    )


def photograph(page: Path, to: Path) -> bool:
    """A picture of a page; whether there is a browser that takes it."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        return False
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        command = [browser, *flags, "--window-size=1100,1700", f"--screenshot={to}", page.resolve().as_uri()]
        subprocess.run(command, check=True, timeout=120, capture_output=True)
    return to.exists()


def heading(data: Data) -> str:
    """When and where it was written."""
    date, machine = dt.datetime.now(tz=dt.UTC).date(), f"{platform.machine()}, {os.cpu_count()} cores"
    return (
        f"Written by `python scripts/caviar.py` on {date}, {machine}; {data.about}. Nothing below was edited by hand."
    )


def put_into(page: Path, lines: Sequence[str]) -> None:
    """Replace what stands between the marks."""
    text = page.read_text(encoding="utf-8")
    found = re.search(f"{re.escape(BEGIN)}.*{re.escape(END)}", text, flags=re.DOTALL)
    if found is None:
        give_up(f"{page} lacks the marks {BEGIN} and {END}")
    body = "\n".join([BEGIN, "", *lines]).rstrip()
    page.write_text(f"{text[: found.start()]}{body}\n\n{END}{text[found.end() :]}", encoding="utf-8")


def main() -> None:
    """Cook, photograph, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--outputs", type=Path, help="keep the runs below this folder, which must be empty")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "caviar.md")
    parser.add_argument("--fashion", type=Path, default=FASHION)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    data = DATA["fashion_mnist" if args.fashion.is_dir() else "mnist1d"]
    with tempfile.TemporaryDirectory() as folder:
        place = args.outputs or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            give_up(f"{place} is not empty")
        kitchen = Kitchen(place)
        cook(kitchen, data, workers=args.workers)
        if photograph(place / "report.html", args.page.parent / PICTURE):
            kitchen.lines += [f"![The report of this sweep]({PICTURE})", ""]
        put_into(args.page, [heading(data), "", *kitchen.lines])


if __name__ == "__main__":
    main()
