"""What is put off comes back when it is used, and nothing that a run computes depends on it."""

from __future__ import annotations

import json
import subprocess
import sys

PROLOGUE = """
import json, sys, torch
"""
DEFERRED = PROLOGUE + "import hpo_cli.engine.lightning\n"
CURE = "from hpo_cli.components.torchvision_ops import import_torchvision\nimport_torchvision()\n"
PLAIN = PROLOGUE + CURE + "import pytorch_lightning\n"

TRAIN = """
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
for _ in range(20):
    torch.nn.functional.cross_entropy(model(torch.randn(4, 8)), torch.randint(3, (4,))).backward()
    optimizer.step()
    optimizer.zero_grad()
print(json.dumps([parameter.detach().flatten().tolist() for parameter in model.parameters()]))
"""


def run(code: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_not_used_stays_out_of_a_training_step() -> None:
    names = ("torch._dynamo.eval_frame", "scipy", "matplotlib", "torchvision", "timm")
    found = run(DEFERRED + TRAIN + f"print([name for name in {names} if name in sys.modules])")
    assert found.splitlines()[-1] == "[]"


def test_the_weights_are_those_of_plain_imports() -> None:
    assert json.loads(run(DEFERRED + TRAIN)) == json.loads(run(PLAIN + TRAIN))


def test_compile_brings_the_real_dynamo() -> None:
    use = """
model = torch.nn.Linear(2, 2)
compiled = torch.compile(model, backend="eager")
x = torch.ones(1, 2)
from lightning_fabric.wrappers import OptimizedModule
print(torch.equal(compiled(x), model(x)), isinstance(compiled, OptimizedModule), isinstance(model, OptimizedModule))
print(torch._dynamo is sys.modules["torch._dynamo"], "torch._dynamo.eval_frame" in sys.modules)
"""
    assert run(DEFERRED + use).split() == ["True", "True", "False", "True", "True"]


def test_a_submodule_brings_the_real_dynamo_once() -> None:
    use = """
from torch._dynamo.eval_frame import OptimizedModule
import torch._dynamo as dynamo
print(dynamo.OptimizedModule is OptimizedModule, sys.modules["torch._dynamo.eval_frame"] is dynamo.eval_frame)
"""
    assert run(DEFERRED + use).split() == ["True", "True"]


def test_torchmetrics_finds_scipy_and_torchvision_afterwards() -> None:
    use = """
from torchmetrics.utilities.imports import _SCIPY_AVAILABLE, _TORCHVISION_AVAILABLE
print(bool(_SCIPY_AVAILABLE), bool(_TORCHVISION_AVAILABLE))
"""
    assert run(DEFERRED + use).split() == ["True", "True"]


def test_a_users_decorators_are_the_real_ones() -> None:
    use = """
@torch.compiler.disable(recursive=False)
def one(x): return x + 1
@torch.compiler.disable
def two(x): return x + 2
print(one(1), two(1), bool(getattr(two, "_torchdynamo_disable", False)))
"""
    assert run(DEFERRED + use).split() == ["2", "3", "True"]
