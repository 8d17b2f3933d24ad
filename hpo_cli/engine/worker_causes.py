"""Why a run failed: its setting, too little memory, or the machine, which is worth another try."""

from __future__ import annotations

from collections.abc import Iterator

from hpo_cli.engine.orders import LostError
from hpo_cli.engine.patience import NoRoomError
from hpo_cli.engine.run import explained, is_memory_error
from hpo_cli.engine.worker_task import Cause, Done
from hpo_cli.errors import ConfigError

_MACHINE_WORDS = (
    *("CUDA error", "CUDA driver", "CUDNN_STATUS", "cuDNN error", "NCCL", "cudaError", "NVML"),
    *("DataLoader worker", "Connection closed by peer", "inline_container", "is being trained by"),
)
"""What libraries say when the machine has let them down."""

_SETTING_WORDS = ("device-side assert",)
"""Said of the GPU as well, but the fault of what it was given."""


def failure(error: BaseException) -> Done:
    """How a run ended that `error` has ended."""
    return Done("failed", reason_of(error), cause_of(error))


def cause_of(error: BaseException) -> Cause:
    """`memory`, `machine`, or `setting` for whatever else the run's own code raises."""
    chain = list(_chain(error))
    if any(map(is_memory_error, chain)):
        return "memory"
    if isinstance(error, ConfigError) and not _is_disk(error.__cause__):
        return "setting"
    return "machine" if any(map(_is_machine, chain)) else "setting"


def reason_of(error: BaseException) -> str:
    """One line that says what went wrong."""
    if not isinstance(error, Exception):
        return f"{type(error).__name__}: {error}".rstrip(": ")
    return next(iter(str(explained(error)).splitlines()), type(error).__name__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _is_machine(error: BaseException) -> bool:
    if isinstance(error, LostError | NoRoomError) or _is_disk(error):
        return True
    said = str(error)
    return any(word in said for word in _MACHINE_WORDS) and not any(word in said for word in _SETTING_WORDS)


def _is_disk(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno is not None
