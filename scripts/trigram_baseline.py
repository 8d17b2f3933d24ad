"""What a trigram model of characters makes of a text: the perplexity that a recurrent network must beat.

python scripts/trigram_baseline.py
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

if TYPE_CHECKING:
    from collections.abc import Sequence

Tokens: TypeAlias = NDArray[np.int64]
Table: TypeAlias = NDArray[np.float64]


def perplexity(train_tokens: Tokens, val_tokens: Tokens, num_tokens: int) -> float:
    """Perplexity a token of `val_tokens` under the trigram that `train_tokens` give, all of it by their counts alone.

    The context of the first validation token is the end of the training text: one text, cut in two.
    """
    table = trigram(continuations(train_tokens, num_tokens))
    text = np.concatenate((train_tokens[-2:], val_tokens))
    return math.exp(-np.log(table[text[:-2], text[1:-1], text[2:]]).mean())


def trigram(counts: Sequence[Table]) -> Table:
    """p[a, b, c] = P(c | a, b): interpolated modified Kneser-Ney; each row sums to one.

    What a context loses by the discounts goes to the shorter context, below that of single tokens to all tokens
    alike; a context never seen takes the shorter one's shares.
    Source: Chen & Goodman 1999, An empirical study of smoothing techniques for language modeling, section 3.
    """
    shares: Table = np.full((), 1.0 / len(counts[0]))
    for count in counts:
        total = np.maximum(count.sum(axis=-1, keepdims=True), 1.0)
        kept = (count - discounts(count)[np.minimum(count, 3).astype(int)]) / total
        shares = kept + (1.0 - kept.sum(axis=-1, keepdims=True)) * shares
    return shares


def continuations(tokens: Tokens, num_tokens: int) -> list[Table]:
    """What the three orders count, [n], [n, n] and [n, n, n]: after how many different tokens each token comes,
    after how many different ones each pair comes, and how often each triple comes."""
    codes = (tokens[:-2] * num_tokens + tokens[1:-1]) * num_tokens + tokens[2:]
    triples = np.bincount(codes, minlength=num_tokens**3).reshape((num_tokens,) * 3).astype(float)
    pairs = np.zeros((num_tokens, num_tokens))
    pairs[tokens[:-1], tokens[1:]] = 1.0
    return [pairs.sum(axis=0), np.minimum(triples, 1.0).sum(axis=0), triples]


def discounts(count: Table) -> Table:
    """What is taken from a count of 0, of 1, of 2 and of 3 or more (Chen & Goodman 1999, eq. 17).

    At least a tenth, so that no token of a short text is impossible, and at most the count.
    """
    n = [max(1, int((count == times).sum())) for times in (1, 2, 3, 4)]  # at least 1: short texts have gaps
    share = n[0] / (n[0] + 2 * n[1])
    taken = [times - (times + 1) * share * n[times] / n[times - 1] for times in (1, 2, 3)]
    return np.clip([0.0, *taken], [0.0, 0.1, 0.1, 0.1], [0.0, 1.0, 2.0, 3.0])


def main() -> None:
    from hpo_cli.components.data.split import prepare
    from hpo_cli.components.data.text import text

    shares = {"val_fraction": 0.15, "test_fraction": 0.15, "subset": 1.0}
    splits = prepare(text(), task="language", standardize=False, split_seed=0, **shares)
    train, val = splits.train.x.reshape(-1), splits.val.x.reshape(-1)
    found = perplexity(train, val, num_tokens=len(splits.spec.class_names or ()))
    print(f"{len(train):,} training characters, {len(val):,} validation characters: perplexity {found:.4f}")


if __name__ == "__main__":
    main()
