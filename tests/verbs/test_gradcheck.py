"""`hpo-run gradcheck`: good models pass, a wrong backward is named, and randomness is no excuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import call, refuse_in_one_line

NET = """
import torch
from torch import nn

class Bent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (1 - torch.tanh(x))  # the square is missing

class Net(nn.Module):
    def __init__(self, *, input_shape, num_outputs, width=4):
        super().__init__()
        self.before = nn.Linear(64, width)
        self.after = nn.Linear(width, num_outputs)

    def forward(self, x):
        return self.after(Bent.apply(self.before(x.flatten(1))))
"""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_default_model_passes_and_nothing_is_saved(tmp_path: Path) -> None:
    answer = call("gradcheck")
    assert (answer.code, answer.err) == (0, "")
    for text in ("linear0.weight", "128x64", "largest error", "all 6 gradients are those of finite differences"):
        assert text in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


def test_json_tells_the_same() -> None:
    words = (
        "model.width=8",
        "regularization.dropout=0.5",
        "regularization.mixup=0.2",
        "--samples",
        "4",
        "--entries",
        "2",
    )
    found = json.loads(call("gradcheck", *words, "--json").out)
    assert found["good"]
    assert (found["samples"], found["left_out"]) == (4, ["regularization.mixup=0.2"])
    assert [tensor["shape"] for tensor in found["tensors"]] == [[8, 64], [8], [8, 8], [8], [10, 8], [10]]
    assert all(tensor["error"] < 1e-4 and tensor["compared"] == 3 for tensor in found["tensors"])


def test_a_wrong_backward_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_bent_nets.py").write_text(NET)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "bent.yaml").write_text("# Mine\n_target_: my_bent_nets.Net\nwidth: 4\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = ("--config-dir", "conf", "model=bent")
    assert "if you trust it" in refuse_in_one_line("gradcheck", *words)
    answer = call("gradcheck", *words, "allow_targets=[my_bent_nets]")
    assert answer.code == 1
    last = answer.out.splitlines()[-1]
    assert last == "bad  2 of 4 gradients differ from finite differences: before.weight, before.bias"
    found = json.loads(call("gradcheck", *words, "allow_targets=[my_bent_nets]", "--json").out)
    assert not found["good"]
    verdicts = {tensor["name"]: tensor["verdict"] for tensor in found["tensors"]}
    assert verdicts == {"before.weight": "bad", "before.bias": "bad", "after.weight": "ok", "after.bias": "ok"}


REFUSED = [
    (("--samples", "1"), "must be 2 or more"),
    (("--samples", "4000"), "--samples=4000: must not exceed the 1257 training samples"),
    (("--entries", "-1"), "--entries"),
    (("model.widht=3",), "model.widht"),
    (("--jsn",), "did you mean --json?"),
]


@pytest.mark.parametrize(("words", "text"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_wrong_words_are_refused(words: tuple[str, ...], text: str) -> None:
    assert text in refuse_in_one_line("gradcheck", *words)
