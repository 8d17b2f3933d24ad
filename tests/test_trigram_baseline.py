"""The baseline of `scripts/trigram_baseline.py` against figures worked out by hand and a slow twin."""

import importlib.util
import math
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

SCRIPT = Path(__file__).parents[1] / "scripts" / "trigram_baseline.py"
if not SCRIPT.is_file():
    pytest.skip("the scripts are not beside the tests", allow_module_level=True)
_spec = importlib.util.spec_from_file_location("trigram_baseline", SCRIPT)
baseline = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(baseline)

texts = st.integers(2, 5).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), min_size=3, max_size=200))
)


def test_a_short_text_by_hand():
    """01010: triples 010 twice and 101 once; discounts 1/2 of one (orders 1, 2), 1/3 of one and 1 of two (order 3)."""
    tokens = np.array([0, 1, 0, 1, 0])
    table = baseline.trigram(baseline.continuations(tokens, 2))
    expected = [[[1 / 4, 3 / 4], [7 / 8, 1 / 8]], [[1 / 12, 11 / 12], [3 / 4, 1 / 4]]]
    np.testing.assert_allclose(table, expected)
    found = baseline.perplexity(tokens, np.array([1, 0]), 2)
    assert found == pytest.approx((11 / 12 * 7 / 8) ** -0.5)


@given(texts)
def test_each_context_shares_out_one(text):
    num_tokens, tokens = text
    table = baseline.trigram(baseline.continuations(np.array(tokens), num_tokens))
    np.testing.assert_allclose(table.sum(axis=-1), 1.0)
    assert (table > 0).all()


@given(texts)
def test_it_equals_dictionaries_and_loops(text):
    num_tokens, tokens = text
    table = baseline.trigram(baseline.continuations(np.array(tokens), num_tokens))
    share = slow_trigram(tokens, num_tokens)
    for a, b, c in np.ndindex(table.shape):
        assert table[a, b, c] == pytest.approx(share((a, b), c))


def test_a_text_without_order_has_the_perplexity_of_its_alphabet():
    draw = np.random.default_rng(0)
    found = baseline.perplexity(draw.integers(0, 8, 60_000), draw.integers(0, 8, 20_000), 8)
    assert found == pytest.approx(8, rel=0.01)


def test_a_text_of_pairs_is_foretold():
    """Each token follows one of two with probability 3/4: the entropy of that coin."""
    draw = np.random.default_rng(0)
    steps = np.where(draw.random(60_000) < 0.75, 1, 2)
    tokens = np.cumsum(steps) % 6
    coin = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert baseline.perplexity(tokens[:50_000], tokens[50_000:], 6) == pytest.approx(coin, rel=0.01)


def slow_trigram(tokens, num_tokens):
    """Chen & Goodman's recursion, written over dictionaries."""
    triples = Counter(zip(tokens, tokens[1:], tokens[2:], strict=False))
    before_pair, before_one = defaultdict(set), defaultdict(set)
    for a, b, c in triples:
        before_pair[b, c].add(a)
    for a, b in pairwise(tokens):
        before_one[b].add(a)
    counts = [
        {(token,): len(found) for token, found in before_one.items()},
        {pair: len(found) for pair, found in before_pair.items()},
        dict(triples),
    ]
    taken = [slow_discounts(order.values()) for order in counts]

    def share(context, token):
        order, discount = counts[len(context)], taken[len(context)]
        lower = share(context[1:], token) if context else 1 / num_tokens
        following = {key[-1]: count for key, count in order.items() if key[:-1] == context}
        if not following:
            return lower
        total = sum(following.values())
        lost = sum(discount[min(count, 3)] for count in following.values())
        count = following.get(token, 0)
        return (count - discount[min(count, 3)] + lost * lower) / total

    return share


def slow_discounts(counts):
    n = {times: max(1, sum(count == times for count in counts)) for times in (1, 2, 3, 4)}
    y = n[1] / (n[1] + 2 * n[2])
    raw = {times: times - (times + 1) * y * n[times + 1] / n[times] for times in (1, 2, 3)}
    return {0: 0.0} | {times: min(max(value, 0.1), times) for times, value in raw.items()}
