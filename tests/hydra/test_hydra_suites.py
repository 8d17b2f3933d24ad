"""Hydra's own common suites for sweepers and launchers, with `hydra/sweeper=caviar`.

Imports nothing of the other tests: another version of Hydra runs this file in an environment of its own.
"""

from __future__ import annotations

import pytest
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.plugins.sweeper import Sweeper
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite

CAVIAR = "hydra/sweeper=caviar"
pytestmark = pytest.mark.filterwarnings("default")  # the suites use what Hydra itself calls deprecated


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suites expect the defaults of a process in which nobody has said yet which version's behaviour he wants."""
    others = {kind: one for kind, one in Singleton._instances.items() if kind.__name__ != "VersionBase"}
    monkeypatch.setattr(Singleton, "_instances", others)


def test_hydra_finds_the_sweeper_by_itself() -> None:
    assert "CaviarSweeper" in [sweeper.__name__ for sweeper in Plugins.instance().discover(Sweeper)]


@pytest.mark.parametrize(("launcher_name", "overrides"), [("basic", [CAVIAR])])
class TestJobs(LauncherTestSuite):
    """Grids by the basic launcher."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("basic", [CAVIAR, "hydra.sweeper.max_batch_size=2"])]
)  # fmt: skip
class TestBatches(BatchedSweeperTestSuite):
    """Grids in batches of two."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", "hydra/launcher=basic", CAVIAR, "hydra/hydra_logging=disabled", "hydra/job_logging=disabled"])],
)
class TestApps(IntegrationTestSuite):
    """Whole apps in processes of their own."""
