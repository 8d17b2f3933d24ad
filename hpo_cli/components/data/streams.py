"""The order in which windows of one text are visited when a model carries its state from batch to batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def stream_order(num_samples: int, *, batch_size: int) -> NDArray[np.int64]:
    """Window numbers int64 [num_samples], a batch after the other: row s of each batch goes on where row s stopped.

    The windows are cut into `batch_size` streams of `num_samples // batch_size` consecutive ones, and batch w
    holds window w of every stream. The windows left over, fewer than a batch, form the last, smaller batch.

    >>> stream_order(7, batch_size=2).tolist()
    [0, 3, 1, 4, 2, 5, 6]
    """
    length = num_samples // batch_size
    windows = np.arange(num_samples, dtype=np.int64)
    streams = windows[: batch_size * length].reshape(batch_size, length)
    return np.concatenate((streams.T.reshape(-1), windows[batch_size * length :]))
