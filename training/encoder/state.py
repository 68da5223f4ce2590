"""Saved states of a run: safetensors and JSON, whole or absent.

One folder per state, named by its step; it is written under another name and renamed, so a state
that can be seen is complete. Random numbers are derived from seed and step and need no saving.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from jiesu_nlp.errors import DataError

_PREFIX = "state-"
_NETWORK, _OPTIMISER, _FACTS = "network.safetensors", "optimizer.safetensors", "state.json"


def save_state(folder: Path, network: Any, optimiser: Any, facts: dict[str, Any]) -> None:
    """Save weights, moments and facts (``step`` among them); older states are removed.

    Raises
    ------
    DataError
        If the disk refuses; the previous state is untouched.
    """
    target = folder / f"{_PREFIX}{facts['step']:09d}"
    if target.exists():
        return
    moments = {
        f"{number}.{name}": value.contiguous().cpu()
        for number, own in optimiser.state_dict()["state"].items()
        for name, value in own.items()
    }
    staging: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".state-", dir=folder))
        save_weights(network, staging / _NETWORK)
        save_file(moments, staging / _OPTIMISER)
        (staging / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
        staging.rename(target)
    except (OSError, SafetensorError) as fault:
        raise DataError(
            f"训练状态写不进磁盘：{getattr(fault, 'strerror', None) or fault}",
            path=folder,
            remedy="腾出空间后用同样的命令继续",
        ) from None
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    for old in folder.glob(f"{_PREFIX}*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed process was about to save."""
    for rest in folder.glob(".state-*"):
        shutil.rmtree(rest, ignore_errors=True)


def newest_state(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest state's folder and facts, if there is any."""
    states = sorted(folder.glob(f"{_PREFIX}*"))
    if not states:
        return None
    try:
        facts = json.loads((states[-1] / _FACTS).read_bytes())
    except (OSError, ValueError):
        raise DataError("训练状态损坏", path=states[-1], remedy="删除该文件夹，从头训练") from None
    return states[-1], facts


def load_state(state: Path, network: Any, optimiser: Any) -> None:
    """Put a saved state's weights and moments back."""
    load_weights(network, state / _NETWORK)
    try:
        moments = load_file(state / _OPTIMISER)
    except (OSError, SafetensorError):
        raise DataError("训练状态损坏", path=state, remedy="删除该文件夹，从头训练") from None
    own: dict[int, dict[str, Any]] = {}
    for key, value in moments.items():
        number, _, name = key.partition(".")
        own.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(
        {"state": own, "param_groups": optimiser.state_dict()["param_groups"]}
    )


def save_weights(network: Any, path: Path) -> None:
    """Write a network's weights beside their place and rename them over it."""
    # Some encoders tie tensors; safetensors wants each to have its own memory.
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in network.state_dict().items()}
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file(tensors, temporary)
        temporary.replace(path)
    except (OSError, SafetensorError) as fault:
        raise DataError(
            f"权重写不进磁盘：{getattr(fault, 'strerror', None) or fault}",
            path=path,
            remedy="腾出空间后用同样的命令继续",
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def load_weights(network: Any, path: Path) -> None:
    """Read weights written by :func:`save_weights`."""
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as fault:
        raise DataError(
            f"权重损坏或与编码器不符：{' '.join(str(fault).split())[:120]}",
            path=path,
            remedy="删除训练文件夹，从头训练",
        ) from None
