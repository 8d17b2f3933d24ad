from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

import pytest
import torch

from tests.engine.runs import Ran

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hpo_cli.plan import RunPlan


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """A run sets signal handlers, the number of threads and the kind of algorithms: undo it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads, level = torch.get_num_threads(), logging.getLogger().level
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=False)
    logging.getLogger().setLevel(level)


@pytest.fixture
def start(tmp_path: Path) -> Callable[[RunPlan], Ran]:
    """Start a run of a plan in a folder of the test's own."""
    return lambda plan: Ran(plan, tmp_path)
