"""Looks after one real model for some days and writes down what the commands printed, into docs/panda.md.

    python scripts/diary.py [--outputs DIR] [--page docs/panda.md] [--fashion DIR]

A day is some epochs of a small CNN on three tenths of Fashion-MNIST (mnist1d where its files are not found), so that
the whole diary takes a few minutes of one core. The run trains in the background while commands are sent to it. What
the text says of figures is checked; exit code 1, and an untouched page, when the story did not hold this time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from diary_story import STORY, Check, Command, Days, Story, Text

from hpo_cli.record.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[1]
FASHION = Path("/usr/share/datasets/fashion-mnist")
BEGIN, END = "<!-- the diary: written by scripts/diary.py -->", "<!-- the end of the diary -->"


def give_up(text: str) -> NoReturn:
    sys.exit(f"diary: {text}")


class Diary:
    """Runs a story in a folder; `lines` is its text so far."""

    def __init__(self, place: Path, story: Story) -> None:
        self.place, self.story = place, story
        self.lines: list[str] = []
        self._run: subprocess.Popen[str] | None = None
        self._said = place / "said.txt"

    def write(self) -> list[str]:
        """The diary as lines of Markdown."""
        try:
            for part in self.story.parts:
                match part:
                    case Text():
                        self.lines += [part.text.strip("\n"), ""]
                    case Days():
                        self._wait(part.epoch)
                    case Check():
                        self._check(part)
                    case Command():
                        self._do(part)
                (self.place / "diary.md").write_text("\n".join(self.lines), encoding="utf-8")
        finally:
            if self._run is not None and self._run.poll() is None:
                self._run.terminate()
                self._run.wait()
        return self.lines

    def _do(self, command: Command) -> None:
        words = shlex.split(command.words)
        if command.way == "background":
            with self._said.open("w") as said:
                self._run = self._start(words, stdout=said, stderr=subprocess.STDOUT)
            self._show(command, "")
            return
        if command.way == "said":
            if self._run is None or self._run.wait() != 0:
                give_up(self._said.read_text())
            self._show(command, self._said.read_text())
            return
        process = self._start(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        printed, _ = process.communicate(timeout=1800)
        if process.returncode != command.code:
            give_up(f"{command.words}: exit code {process.returncode}\n{printed}")
        self._show(command, printed)

    def _start(self, words: list[str], **streams: object) -> subprocess.Popen[str]:
        environment = {**os.environ, "COLUMNS": "100", "LINES": "40", "PYTHONPATH": str(ROOT), "LOGNAME": "ada"}
        environment.pop("HPO_RUN_OUTPUTS", None)
        command = [sys.executable, "-m", "hpo_cli.cli", *words]
        return subprocess.Popen(command, cwd=self.place, env=environment, text=True, **streams)  # type: ignore[call-overload, no-any-return]

    def _show(self, command: Command, printed: str) -> None:
        prompt = [f"$ hpo-run {command.words}{' &' if command.way == 'background' else ''}"]
        if command.way == "said":
            prompt = []
        lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
        if command.lines is not None and len(lines) > command.lines:
            lines = [*lines[: command.lines], "..."]
        self.lines += ["```", *prompt, *lines, "```", ""]

    def _validations(self) -> list[tuple[int, float]]:
        """Epoch and validation loss, of the line that is in force."""
        file = self.place / self.story.folder / "metrics.jsonl"
        rows = read_metrics(file) if file.exists() else []
        return [(row["epoch"], row["val/loss"]) for row in rows if "val/loss" in row]

    def _wait(self, epoch: int) -> None:
        while not any(done >= epoch for done, _ in self._validations()):
            if self._run is None or self._run.poll() is not None:
                give_up(f"the run ended before epoch {epoch}:\n{self._said.read_text()}")
            time.sleep(0.1)

    def _check(self, check: Check) -> None:
        losses = dict(self._validations())
        before, after = (statistics.mean(losses[epoch] for epoch in span) for span in (check.before, check.after))
        if not (after < before if check.expect == "better" else after > before):
            give_up(f"{check.expect}? val/loss was {before:.4f} and became {after:.4f}")
        epochs = [f"epochs {span[0]} to {span[-1]}" for span in (check.before, check.after)]
        self.lines += [f"Mean `val/loss` of {epochs[0]}: {before:.4f}. Of {epochs[1]}: {after:.4f}.", ""]


def heading(story: Story) -> str:
    date, cores = dt.datetime.now(tz=dt.UTC).date(), os.cpu_count()
    machine = f"{platform.machine()}, {cores} cores, one of them used"
    return (
        f"Written by `python scripts/diary.py` on {date}, {machine}; {story.about}. Nothing below was edited by hand."
    )


def put_into(page: Path, lines: list[str]) -> None:
    """Replace what stands between the marks."""
    text = page.read_text(encoding="utf-8")
    found = re.search(f"{re.escape(BEGIN)}.*{re.escape(END)}", text, flags=re.DOTALL)
    if found is None:
        give_up(f"{page} lacks the marks {BEGIN} and {END}")
    body = "\n".join([BEGIN, "", *lines]).rstrip()
    page.write_text(f"{text[: found.start()]}{body}\n\n{END}{text[found.end() :]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=Path, help="keep the runs below this folder, which must be empty")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "panda.md")
    parser.add_argument("--fashion", type=Path, default=FASHION)
    args = parser.parse_args()
    story = STORY["fashion_mnist" if args.fashion.is_dir() else "mnist1d"]
    with tempfile.TemporaryDirectory() as folder:
        place = args.outputs or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            give_up(f"{place} is not empty")
        diary = Diary(place, story)
        put_into(args.page, [heading(story), "", *diary.write()])


if __name__ == "__main__":
    main()
