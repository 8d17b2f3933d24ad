"""A population of three in which the second member takes over the first one's state, and later the third one's."""

from __future__ import annotations

from pathlib import Path

from tests.sweep_story import Story

KNOBS = (0.0103, 0.02)
SOURCES = (1, 3)


def population(root: Path, *, adoptions: int = 2) -> Story:
    """Its log is written."""
    story = Story.begun(scheduler="pbt", search="random", trials=3, epochs=6, place=root / "digits" / "abc123").joined()
    for lr in (0.01, 0.05, 0.03):
        story.propose(until=2, optimizer__lr=lr, init="he")
    for stop, place in ((2, 0), (4, 1))[:adoptions]:
        for number, value in ((1, 0.8 if stop == 2 else 0.7), (2, 0.5), (3, 0.75)):
            story.start(number).end(number, "paused", epoch=stop, values=[value], seconds=1.0)
        changes = {"optimizer.lr": KNOBS[place]}
        story.tell(
            "adopting", trial=2, source=SOURCES[place], files=["checkpoints/x.pt"], changes=changes, until=stop + 2,
            why="3 of 3",
        )  # fmt: skip
    story.start(2)
    story.write()
    return story
