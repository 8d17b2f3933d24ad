from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from tests.resume.nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.command_line import Answer


class Verify(Protocol):
    """`hpo-run verify-resume` in a warm process; what it said."""

    def __call__(self, *words: str, spoil: str | None = None) -> Answer: ...


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as found:
        yield found


@pytest.fixture
def verify(nursery: Nursery, tmp_path: Path) -> Verify:
    def call(*words: str, spoil: str | None = None) -> Answer:
        words = ("verify-resume", "trainer.accelerator=cpu", f"outputs={tmp_path / 'outputs'}", *words)
        return nursery.call("hpo_cli.cli:main", *words, cwd=tmp_path, spoil=spoil)

    return call
