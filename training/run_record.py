"""What a training run leaves behind for whoever asks later: data, code, parameters, cost."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from collections.abc import Iterable, Sequence
from hashlib import blake2b, file_digest, sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.bundle import Bundle, tensor_bytes
from jiesu_nlp.knowledge import SAYS_FILE

RECORD_FILE = "training.json"
CARD_FILE = "card.md"
EVALUATION_FILE = "evaluation.json"
SEEN_FILE = "training_texts.safetensors"
_ROOT = Path(__file__).resolve().parent.parent
_CHUNK = 1 << 20


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def code_version() -> str:
    """Return the package version and a digest of the code that trains and classifies."""
    try:
        package = version("jiesu-nlp")
    except PackageNotFoundError:
        package = "unknown"
    digest = sha256()
    for folder in ("training", "jiesu_nlp"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return f"{package}+{digest.hexdigest()[:8]}"


def peak_memory_mb() -> int:
    """Return the greatest resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # ``ru_maxrss`` also counts what the parent held when it started this process.
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"))
        if found is not None:
            return int(int(found[1]) * 1024 / 1e6)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak / 1e6) if sys.platform == "darwin" else int(peak * 1024 / 1e6)


def machine() -> dict[str, Any]:
    """Return what the figures of a run depend on besides code and data."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "os": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
    }


def text_hash(text: str) -> int:
    """Return 64 bits of a text without spaces and punctuation."""
    plain = "".join(ch for ch in text if ch.isalnum())
    digest = blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def text_hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return the distinct hashes of texts, sorted."""
    return np.unique(np.fromiter((text_hash(t) for t in texts), dtype=np.uint64))


def seen_bytes(texts: Iterable[str]) -> bytes:
    """Return the file by which a bundle knows again what it was trained on; it holds no text."""
    return tensor_bytes({"hashes": text_hashes(texts)})


def among(hashes: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which hashes are among the sorted ``known`` ones, in little memory."""
    found = np.zeros(len(hashes), bool)
    if len(known):
        for start in range(0, len(hashes), _CHUNK):
            part = hashes[start : start + _CHUNK]
            at = np.minimum(np.searchsorted(known, part), len(known) - 1)
            found[start : start + len(part)] = known[at] == part
    return found


def seen_in_training(bundle: Bundle, texts: Sequence[str]) -> NDArray[np.bool_]:
    """Return which texts a bundle was trained or calibrated on, word for word."""
    parts = [np.zeros(0, np.uint64)]
    if SEEN_FILE in bundle:
        parts.append(bundle.read_tensors(SEEN_FILE)["hashes"])
    if SAYS_FILE in bundle:
        says = bundle.read_json(SAYS_FILE)
        lists = says.values() if isinstance(says, dict) else says
        parts.append(text_hashes(s for own in lists for s in own if isinstance(s, str)))
    known = np.unique(np.concatenate(parts))
    own = np.fromiter((text_hash(t) for t in texts), dtype=np.uint64, count=len(texts))
    return among(own, known)
