"""What scripts/diary.py does day by day, and what it says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Text:
    """Prose."""

    text: str


@dataclass(frozen=True)
class Command:
    """Words of hpo-run. lines: how many of its lines are shown.   code: the exit code that it must have.

    way: "background" starts the run that is looked after; "said" shows what that printed once it has ended.
    """

    words: str
    lines: int | None = None
    code: int = 0
    way: Literal["wait", "background", "said"] = "wait"


@dataclass(frozen=True)
class Days:
    """Wait until the run has validated after this epoch."""

    epoch: int


@dataclass(frozen=True)
class Check:
    """The mean validation loss of the epochs `after` must be better or worse than of those `before`."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    expect: Literal["better", "worse"]


@dataclass(frozen=True)
class Story:
    """about: data and model in a few words.   folder: of the run, below where the story takes place."""

    about: str
    folder: str
    parts: tuple[Text | Command | Days | Check, ...]


RUN = "outputs/panda/first"
START = (
    "name=panda hydra.run.dir=outputs/panda/first {data} model=cnn model.channels=8 batch_size=64 optimizer=momentum "
    "lr=0.3 schedule=constant epochs=14 trainer=cpu trainer.threads=1"
)
PARTS: tuple[Text | Command | Days | Check, ...] = (
    Text("""
### Day 0: start

A rate of 0.3 with momentum is bold, and a constant schedule leaves everything to the one who looks after it.
"""),
    Command(START, way="background"),
    Days(4),
    Text("""
### Day 1: it jumps about

Four epochs later the validation loss goes up and down more than it goes anywhere.
"""),
    Command("curves first"),
    Text("""
The usual remedy is a smaller rate. The run answers with the step, and with the value that the live optimizer has after
it.
"""),
    Command("nudge first lr/=10 --why 'the validation loss jumps up and down'"),
    Days(7),
    Text("""
### Day 2: that helped

"""),
    Check((2, 3, 4), (6, 7), "better"),
    Text("What is good is kept, for ever and with a name."),
    Command("checkpoint first --tag good"),
    Text("""
### Day 3: greed

The curve is flat now. Perhaps the rate was cut too far?
"""),
    Command("nudge first lr*=20 --why 'flat: was the cut too deep?'"),
    Days(10),
    Text("""
### Day 4: that did not help

"""),
    Check((6, 7), (9, 10), "worse"),
    Text("""
Back to the good state, curve and all, with the opposite idea in the same breath. What was trained since stays in the
files, marked as abandoned.
"""),
    Command("rollback first --to tag=good lr/=3 --why 'greed'"),
    Text("""
An impossible value is refused and changes nothing; a key that cannot change while a run trains names the way that can.
"""),
    Command("nudge first regularization.dropout=1.5", code=2),
    Command("nudge first optimizer=adam", code=2),
    Text("""
### Day 5: the end of the run

What the run itself printed all this time, and whether the smaller rate was right:
"""),
    Command("", way="said"),
    Check((6, 7), (9, 10, 11, 12, 13, 14), "better"),
    Command("curves first"),
    Command("show first"),
    Text("""
### Day 6: a branch

Would Adam have done better from the good state on? The optimizer cannot change under way, so a child takes over the
weights. The parent's files are not touched.
"""),
    Command("branch first --at tag=good optimizer=adam lr=1e-3 epochs=12"),
    Command("curves first last"),
    Text("""
### Day 7: a twin

Was it right to leave the momentum at 0.9? Two children of the good state, one with the nudge, one without; same data,
same randomness.
"""),
    Command("twin first --at tag=good optimizer.momentum=0.97 --epochs 3"),
    Command("tree first"),
    Text("""
### Day 8: all of it again

From the seed, with everything that was done to the run at the steps at which it was done: the same bits.
"""),
    Command("replay first"),
    Text("And the babysitting as a config, for the next model:"),
    Command("export first --to mine/experiment/raised.yaml"),
)


def _with_data(words: str) -> tuple[Text | Command | Days | Check, ...]:
    first = next(part for part in PARTS if isinstance(part, Command) and part.way == "background")
    started = replace(first, words=first.words.format(data=words))
    return tuple(started if part is first else part for part in PARTS)


STORY = {
    "fashion_mnist": Story(
        about="a CNN of 25,154 parameters on three tenths of Fashion-MNIST",
        folder=RUN,
        parts=_with_data("data=fashion_mnist data.subset=0.3"),
    ),
    "mnist1d": Story(about="a CNN on mnist1d", folder=RUN, parts=_with_data("data=mnist1d")),
}
