"""The training loop: one process or several, on a CPU or GPUs, resumable at any saved step.

Everything random follows from the seed and the step, so a run that was killed and taken up again
computes what it would have computed anyway.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from jiesu_nlp.classify.encoder import padded
from jiesu_nlp.errors import DataError, UsageError
from training.encoder.checkpoint import Checkpoint
from training.encoder.network import HierarchyLoss, LeafNetwork, parameter_groups
from training.encoder.options import EncoderData, EncoderOptions, Precision, fingerprint
from training.encoder.state import (
    clear_unfinished,
    load_state,
    load_weights,
    newest_state,
    save_state,
    save_weights,
)

Progress = Callable[[str, float], None]
BEST = "best.safetensors"
_PORTION = 2000
_EVAL_BATCH = 128


@dataclass(frozen=True)
class Fitted:
    """The best network of a run, on the CPU in eval mode, and how the run went.

    ``history`` holds per epoch the mean loss of training and, on the held-out texts, the loss and
    the share of right leaves.
    """

    network: Any
    history: list[dict[str, float]]
    best_epoch: int
    resumed_at: int
    steps: int
    device: str
    precision: str
    processes: int


@dataclass(frozen=True, slots=True)
class Workers:
    """One process among those started by ``torchrun``."""

    rank: int
    count: int
    device: Any

    @property
    def first(self) -> bool:
        """Whether this process saves and reports."""
        return self.rank == 0

    def summed(self, values: Sequence[float]) -> list[float]:
        """Return the sums over all processes."""
        if self.count == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(shared)
        return [float(v) for v in shared.tolist()]

    def wait(self) -> None:
        """Wait for the other processes."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined_workers() -> Iterator[Workers]:
    """Join the group of processes if ``torchrun`` started this one."""
    gpu = torch.cuda.is_available()
    count = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"本机只有 {torch.cuda.device_count()} 块 GPU；--nproc_per_node 不要超过它"
            )
        torch.cuda.set_device(device)
    own_group = count > 1 and not distributed.is_initialized()
    if own_group:
        distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        yield Workers(rank, count, device)
    finally:
        if own_group:
            distributed.destroy_process_group()


def precision_on(device: Any, wanted: Precision) -> Precision:
    """Return the arithmetic to use.

    Raises
    ------
    UsageError
        If the device cannot do what was asked.
    """
    if device.type == "cpu":
        if wanted is Precision.FP16:
            raise UsageError("CPU 上不能用 fp16 训练；请用 fp32、bf16 或 auto")
        return Precision.FP32 if wanted is Precision.AUTO else wanted
    if wanted is Precision.AUTO:
        return Precision.BF16 if torch.cuda.is_bf16_supported() else Precision.FP16
    return wanted


def fit_network(
    data: EncoderData,
    checkpoint: Checkpoint,
    folder: Path,
    options: EncoderOptions,
    progress: Progress,
) -> Fitted | None:
    """Fine-tune; ``None`` in every process but the first.

    Parameters
    ----------
    folder
        Keeps the saved states and the best weights; a run in it is taken up where it was left.
    """
    with joined_workers() as workers:
        return _Run(data, checkpoint, folder, options, progress, workers).fitted()


class _Run:
    """One fine-tuning run."""

    def __init__(
        self,
        data: EncoderData,
        checkpoint: Checkpoint,
        folder: Path,
        options: EncoderOptions,
        progress: Progress,
        workers: Workers,
    ) -> None:
        self.data, self.options, self.folder, self.workers = data, options, folder, workers
        self.progress: Progress = progress if workers.first else lambda stage, done: None
        self.device = workers.device
        self.precision = precision_on(self.device, options.precision)
        self.mark = fingerprint(data, options, checkpoint.hash)
        self.pad_id = checkpoint.pad_id
        self.progress("分词", 0.0)
        limit = min(options.max_length, checkpoint.max_length)
        self.ids = token_ids(checkpoint.tokenizer, data.texts, limit)
        self.held_out = token_ids(checkpoint.tokenizer, data.held_out_texts, limit)
        weights = data.weights if data.weights is not None else np.ones(len(data.texts))
        self.weights = (weights / weights.mean()).astype(np.float32)
        torch.manual_seed(options.seed)
        self.network = LeafNetwork(checkpoint.encoder(), data.outputs, options.dropout)
        self.network.to(self.device)
        self.loss = HierarchyLoss(data, options, self.device)
        self.optimiser = torch.optim.AdamW(parameter_groups(self.network, options))
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision is Precision.FP16
        )
        self.per_epoch = -(-len(self.ids) // options.batch)
        self.steps = self.per_epoch * options.epochs
        self.step = 0
        self.facts: dict[str, Any] = {
            "fingerprint": self.mark,
            "history": [],
            "best": None,
            "best_epoch": 0,
            "loss_sum": 0.0,
            "finished": False,
        }

    def fitted(self) -> Fitted | None:
        """Take up or start, train to the end, return the best network."""
        resumed_at = self._take_up()
        if not self.facts["finished"]:
            self._train()
        self.workers.wait()
        if not self.workers.first:
            return None
        if (self.folder / BEST).exists():
            load_weights(self.network, self.folder / BEST)
        return Fitted(
            network=self.network.cpu().float().eval(),
            history=self.facts["history"],
            best_epoch=self.facts["best_epoch"],
            resumed_at=resumed_at,
            steps=self.step,
            device=torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            precision=self.precision.value,
            processes=self.workers.count,
        )

    def _take_up(self) -> int:
        if self.workers.first:
            clear_unfinished(self.folder)
        found = newest_state(self.folder)
        # All must have looked before the first one saves.
        self.workers.wait()
        if found is None:
            return 0
        state, facts = found
        if facts.get("fingerprint") != self.mark:
            raise DataError(
                "文件夹里是另一次训练的状态（数据、选项或编码器不同），不能接着训练",
                path=state,
                remedy="换一个输出文件夹，或删除它后重来",
            )
        load_state(state, self.network, self.optimiser)
        self.scaler.load_state_dict(facts.get("scaler") or self.scaler.state_dict())
        self.facts, self.step = facts, facts["step"]
        self.progress(f"从第 {self.step} 步接着训练", self.step / self.steps)
        return self.step

    def _train(self) -> None:
        network = self.network
        if self.workers.count > 1:
            idle = self._has_idle_parameters()
            network = DistributedDataParallel(network, find_unused_parameters=idle)
        while self.step < self.steps:
            epoch = self.step // self.per_epoch
            order = np.random.default_rng((self.options.seed, epoch)).permutation(len(self.ids))
            self.network.train()
            while self.step < (epoch + 1) * self.per_epoch:
                start = (self.step % self.per_epoch) * self.options.batch
                chosen = order[start : start + self.options.batch]
                self.facts["loss_sum"] += self._step(network, chosen)
                self.step += 1
                at = f"微调编码器，第 {epoch + 1}/{self.options.epochs} 轮"
                self.progress(at, self.step / self.steps)
                if self.step % self.per_epoch and self.step % self.options.save_every == 0:
                    self._save()
            stop = self._end_epoch(epoch)
            self.facts["finished"] = stop or self.step >= self.steps
            self._save()
            if stop:
                break

    def _has_idle_parameters(self) -> bool:
        """Return whether some weights get no gradient; the group must know before it starts."""
        tokens, mask, target = self._tensors(self.ids[:1], self.data.leaf_of[:1])
        self.loss(self.network(tokens, mask), target).sum().backward()
        idle = any(p.grad is None for p in self.network.parameters() if p.requires_grad)
        self.optimiser.zero_grad(set_to_none=True)
        return idle

    def _step(self, network: Any, chosen: Any) -> float:
        """Learn from one batch, of which each process takes its share; return the loss."""
        own = chosen[self.workers.rank :: self.workers.count]
        whole = float(self.weights[chosen].sum())
        if not len(own):
            # A last batch smaller than the group: take part, but learn nothing.
            own, whole = chosen[:1], float("inf")
        torch.manual_seed((self.options.seed * 1_000_003 + self.step) * 64 + self.workers.rank)
        tokens, mask, target = self._tensors([self.ids[i] for i in own], self.data.leaf_of[own])
        with self._autocast():
            logits = network(tokens, mask)
        weights = torch.from_numpy(self.weights[own]).to(self.device)
        total = (self.loss(logits, target) * weights).sum()
        # The group averages gradients; the batch is to be averaged over its own weights.
        loss = total * (self.workers.count / max(whole, 1e-9))
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * self._rate()
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        value = float(loss.detach()) / self.workers.count
        # The scaler of fp16 mends gradients that overflow; a loss that does is beyond it.
        if not np.isfinite(value):
            raise DataError(
                f"第 {self.step + 1} 步损失不是有限数，训练发散",
                remedy="调小 learning_rate，或改用 bf16、fp32",
            )
        return value

    def _rate(self) -> float:
        """Return the share of the peak rate at this step: linear warm-up, then a cosine."""
        warm = max(1, round(self.steps * self.options.warmup))
        if self.step < warm:
            return (self.step + 1) / warm
        done = (self.step - warm) / max(1, self.steps - warm)
        return 0.5 * (1 + float(np.cos(np.pi * done)))

    def _end_epoch(self, epoch: int) -> bool:
        """Judge on the held-out texts, keep the best weights; return whether to stop."""
        loss_sum, *_ = self.workers.summed([self.facts["loss_sum"]])
        entry = {"epoch": epoch + 1.0, "loss": loss_sum / self.per_epoch}
        self.facts["loss_sum"] = 0.0
        if len(self.held_out):
            held_loss, right = self._judge()
            entry |= {"held_out_loss": held_loss, "held_out_top1": right}
            score = [right, -held_loss]
            better = self.facts["best"] is None or score > self.facts["best"]
        else:
            score, better = None, True
        self.facts["history"].append(entry)
        if better:
            self.facts |= {"best": score, "best_epoch": epoch + 1}
            if self.workers.first:
                self.folder.mkdir(parents=True, exist_ok=True)
                save_weights(self.network, self.folder / BEST)
        return bool(epoch + 1 - self.facts["best_epoch"] >= self.options.patience)

    def _judge(self) -> tuple[float, float]:
        """Return loss and share of right leaves on the held-out texts."""
        assert self.data.held_out_leaf_of is not None
        self.network.eval()
        # Texts of like length go together: padding costs as much as words.
        order = np.argsort([len(i) for i in self.held_out], kind="stable")
        own = order[self.workers.rank :: self.workers.count]
        loss = right = 0.0
        with torch.no_grad():
            for start in range(0, len(own), _EVAL_BATCH):
                rows = own[start : start + _EVAL_BATCH]
                tokens, mask, target = self._tensors(
                    [self.held_out[i] for i in rows], self.data.held_out_leaf_of[rows]
                )
                with self._autocast():
                    logits = self.network(tokens, mask)
                loss += float(
                    torch.nn.functional.cross_entropy(logits.float(), target, reduction="sum")
                )
                right += float((logits.argmax(dim=1) == target).sum())
        loss, right = self.workers.summed([loss, right])
        return loss / len(order), right / len(order)

    def _save(self) -> None:
        if self.workers.first:
            facts = {**self.facts, "step": self.step, "scaler": self.scaler.state_dict()}
            save_state(self.folder, self.network, self.optimiser, facts)

    def _tensors(self, ids: list[list[int]], leaf_of: Any) -> tuple[Any, Any, Any]:
        tokens, mask = padded(ids, self.pad_id)
        return (
            torch.from_numpy(tokens).to(self.device),
            torch.from_numpy(mask).to(self.device),
            torch.from_numpy(np.asarray(leaf_of, dtype=np.int64)).to(self.device),
        )

    def _autocast(self) -> Any:
        kinds = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}
        return torch.autocast(
            self.device.type,
            dtype=kinds.get(self.precision, torch.bfloat16),
            enabled=self.precision is not Precision.FP32,
        )


def token_ids(tokenizer: Any, texts: Sequence[str], limit: int) -> list[list[int]]:
    """Return the tokens of each text, at most ``limit``, special ones included."""
    tokenizer.enable_truncation(limit)
    found: list[list[int]] = []
    for start in range(0, len(texts), _PORTION):
        found += [e.ids for e in tokenizer.encode_batch(list(texts[start : start + _PORTION]))]
    return found
