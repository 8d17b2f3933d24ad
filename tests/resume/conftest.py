from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.resume.nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.command_line import Answer


class Verify(Protocol):
    """`hpo-run verify-resume` in a warm process; what it said."""

    def __call__(self, *words: str, spoil: str | None = None) -> Answer: ...


class Prove(Protocol):
    """The same as JSON, from a verification that must say `identical`."""

    def __call__(self, *words: str) -> dict[str, Any]: ...


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


@pytest.fixture
def prove(verify: Verify) -> Prove:
    def call(*words: str) -> dict[str, Any]:
        answer = verify(*words, "--json")
        assert answer.code == 0, answer.out + answer.err
        found: dict[str, Any] = json.loads(answer.out)
        assert found["identical"]
        return found

    return call
