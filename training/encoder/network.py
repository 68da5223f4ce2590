"""The network: encoder, mean of its token vectors, one flat layer over the leaves; and its loss."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.encoder.options import EncoderData, EncoderOptions, LongTail

_LAYER = re.compile(r"\blayers?\.(\d+)\.")
_NO_DECAY = re.compile(r"bias$|norm", re.IGNORECASE)
# Weights of the effective number of samples (Cui et al. 2019).
_BETA = 0.999


class LeafNetwork(nn.Module):  # type: ignore[misc]
    """Tokens to logits over the leaves and *no matter*.

    The mean of the token vectors needs no pooler, so that every encoder will do.
    """

    def __init__(self, encoder: Any, outputs: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        """Return logits, shape ``(batch, outputs)``."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        return self.head(self.dropout(mean))


class HierarchyLoss:
    """Cross-entropy over leaves, groups and classes from one set of logits.

    The probability of a group or class is the sum over its leaves, so the three levels never
    contradict each other, and a ticket put under a sibling costs less than one put under a
    stranger.

    The balanced softmax (Ren et al. 2020) adds the log prior of the training texts to the logits
    during training only; what the network itself then says is as if all leaves were alike frequent.
    """

    def __init__(self, data: EncoderData, options: EncoderOptions, device: Any) -> None:
        nothing = len(data.class_of)
        self._levels = [
            (weight, self._parents(parents, device), int(parents.max()) + 2)
            for weight, parents in (
                (options.class_loss, data.class_of),
                (options.group_loss, data.group_of),
            )
            if weight > 0
        ]
        self._smoothing = options.smoothing
        prior = torch.from_numpy(leaf_prior(data)).to(device)
        self._shift = (
            prior.log()
            if options.long_tail is LongTail.BALANCED_SOFTMAX
            else torch.zeros(nothing + 1, device=device)
        )
        self._leaf_weights = None
        if options.long_tail is LongTail.CLASS_WEIGHTS:
            count = prior * len(data.texts)
            effective = (1 - _BETA**count) / (1 - _BETA)
            weights = 1 / effective
            # Texts, not leaves, should have the mean weight of one.
            self._leaf_weights = (weights / (weights * prior).sum()).float()

    @staticmethod
    def _parents(parents: Any, device: Any) -> Any:
        own = np.append(parents, parents.max() + 1)
        return torch.from_numpy(own.astype(np.int64)).to(device)

    def __call__(self, logits: Any, target: Any) -> Any:
        """Return the loss of each text, shape ``(batch,)``."""
        log_p = functional.log_softmax(logits.float() + self._shift, dim=1)
        loss = -log_p.gather(1, target[:, None]).squeeze(1)
        if self._smoothing:
            loss = (1 - self._smoothing) * loss - self._smoothing * log_p.mean(dim=1)
        p = log_p.exp()
        for weight, parent_of, parents in self._levels:
            mass = torch.zeros(len(p), parents, device=p.device).index_add_(1, parent_of, p)
            of_text = mass.gather(1, parent_of[target][:, None]).squeeze(1)
            loss = loss - weight * of_text.clamp(min=1e-9).log()
        if self._leaf_weights is not None:
            loss = loss * self._leaf_weights[target]
        return loss


def leaf_prior(data: EncoderData) -> Any:
    """Return the smoothed share of each leaf among the training texts, shape ``(outputs,)``."""
    count = np.bincount(data.leaf_of, weights=data.weights, minlength=data.outputs) + 0.5
    return (count / count.sum()).astype(np.float32)


def parameter_groups(network: Any, options: EncoderOptions) -> list[dict[str, Any]]:
    """Group the parameters by depth: the lower a layer, the smaller its rate.

    Norms and biases do not decay. Each group carries ``peak``, its greatest rate.
    """
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    depths = {n: _depth(n) for n, _ in named}
    top = max((d for d in depths.values() if d is not None), default=0)
    groups: dict[tuple[float, float], list[Any]] = {}
    for name, parameter in named:
        depth = depths[name]
        if name.startswith("head."):
            rate = options.learning_rate * options.head_factor
        else:
            rate = options.learning_rate * options.layer_decay ** (
                top - (top if depth is None else depth)
            )
        decay = 0.0 if _NO_DECAY.search(name) else options.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": own, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), own in groups.items()
    ]


def _depth(name: str) -> int | None:
    """Return 0 for embeddings, 1 for the lowest layer …; ``None`` for what lies above them."""
    if "embeddings" in name:
        return 0
    found = _LAYER.search(name)
    return int(found.group(1)) + 1 if found else None
