"""LAMB: Adam whose every layer steps in proportion to the size of its weights."""

from __future__ import annotations

from torch import Tensor
from torch.optim.optimizer import ParamsT

from hpo_cli.components.optimizers.per_tensor import Group, PerTensor, State, adam_direction, norm_ratio


class LAMB(PerTensor):
    """Layer-wise Adam for large batches, in the form of its paper.

    u = m' / (sqrt(v') + eps) + weight_decay * w, m' and v' as Adam corrects them; w -= lr * |w| / |u| * u.
    Source: You et al. 2020 (arXiv:1904.00962), algorithm 2 with phi(z) = z.

    Libraries differ: some leave the correction of the moments out, of one of them or of both, clamp |w| to 10, put
    the decay before the step and outside the ratio, or apply the ratio to biases and norms.

    adapt_vectors: treat parameters of one dimension or none (biases, norms) like the others. Otherwise they get
    neither decay nor ratio: plain Adam, as in the authors' published runs.
    A weight or an update that is all zeros has the ratio 1, so that it can leave.
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float = 0.005,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        adapt_vectors: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps}
        super().__init__(params, {**settings, "weight_decay": weight_decay, "adapt_vectors": adapt_vectors})

    def move(self, weight: Tensor, gradient: Tensor, *, state: State, group: Group) -> None:
        """One update of `weight`."""
        update = adam_direction(gradient, state=state, group=group)
        if weight.ndim > 1 or group["adapt_vectors"]:
            update.add_(weight, alpha=group["weight_decay"])
            update *= norm_ratio(weight, update)
        weight.sub_(update, alpha=group["lr"])
