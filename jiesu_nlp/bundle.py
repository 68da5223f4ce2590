"""Bundles: one folder with weights, calibration and a snapshot of all data, checked by SHA-256.

Loading executes no code: JSON and safetensors only. A bundle is written beside its place and
renamed, so a folder that carries a manifest is complete.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from jiesu_nlp.errors import BundleError

FORMAT = 3
MANIFEST = "manifest.json"

Array = NDArray[Any]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk.

    Attributes
    ----------
    path
        Folder of the bundle.
    manifest
        ``format, kind, created_at, versions, parameters, files``; ``files`` maps each file
        name to its ``sha256`` and ``bytes``.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the folder: a copy under another name is another bundle."""
        return self.path.name

    @property
    def versions(self) -> Mapping[str, str]:
        """``model, catalogue, rules, places`` and the code version."""
        versions: Mapping[str, str] = self.manifest["versions"]
        return versions

    def __contains__(self, file: str) -> bool:
        return file in self.manifest["files"]

    def read_bytes(self, file: str) -> bytes:
        """Return one file's bytes, checked against the manifest.

        Raises
        ------
        BundleError
            If the file is not listed, missing, truncated or altered.
        """
        entry = self.manifest["files"].get(file)
        if entry is None:
            raise BundleError(f"模型包 {self.path} 里没有 {file}；请用同版本程序重新生成该模型包")
        try:
            data = (self.path / file).read_bytes()
        except OSError:
            raise BundleError(
                f"模型包文件缺失或不可读：{self.path / file}；请从备份恢复或重新生成"
            ) from None
        if len(data) != entry["bytes"]:
            raise BundleError(
                f"模型包文件不完整：{self.path / file}"
                f"（应为 {entry['bytes']} 字节，实际 {len(data)} 字节）；请从备份恢复或重新生成"
            )
        if _sha256(data) != entry["sha256"]:
            raise BundleError(
                f"模型包文件被改动过：{self.path / file}（校验和不符）；请从备份恢复或重新生成"
            )
        return data

    def read_json(self, file: str) -> Any:
        """Return one JSON file."""
        try:
            return json.loads(self.read_bytes(file))
        except ValueError:
            raise BundleError(f"模型包文件不是有效的 JSON：{self.path / file}") from None

    def read_tensors(self, file: str) -> dict[str, Array]:
        """Return the arrays of one safetensors file."""
        try:
            return load_tensors(self.read_bytes(file))
        except SafetensorError:
            raise BundleError(f"模型包文件不是有效的 safetensors：{self.path / file}") from None

    def verify(self) -> None:
        """Check every file; raise :class:`BundleError` naming the first bad one."""
        for file in self.manifest["files"]:
            self.read_bytes(file)


def open_bundle(path: Path) -> Bundle:
    """Open a bundle's manifest; files are checked as they are read.

    Raises
    ------
    BundleError
        If there is no bundle, or it is foreign or of another format.
    """
    manifest_path = path / MANIFEST
    try:
        manifest = json.loads(manifest_path.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"不是模型包：{path}（缺少 {MANIFEST}）") from None
    except (OSError, ValueError):
        raise BundleError(f"模型包清单损坏：{manifest_path}；请从备份恢复或重新生成") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "jiesu-bundle":
        raise BundleError(f"不是 jiesu 的模型包：{manifest_path}")
    if manifest.get("format") != FORMAT:
        newer = isinstance(manifest.get("format"), int) and manifest["format"] > FORMAT
        raise BundleError(
            f"模型包格式版本 {manifest.get('format')} 与程序支持的版本 {FORMAT} 不符：{manifest_path}；"
            + (
                "请升级 jiesu-nlp"
                if newer
                else "请用本版本程序重新生成：默认模型包运行 jiesu model build，其余用 jiesu train 重新训练"
            )
        )
    if not all(isinstance(manifest.get(k), dict) for k in ("files", "versions", "parameters")):
        raise BundleError(f"模型包清单缺少必要内容：{manifest_path}；请重新生成")
    return Bundle(path, manifest)


def json_bytes(value: Any) -> bytes:
    """Encode JSON compactly and reproducibly."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def tensor_bytes(tensors: Mapping[str, Array]) -> bytes:
    """Encode arrays as safetensors."""
    return save_tensors({k: np.ascontiguousarray(v) for k, v in tensors.items()})


def refuse_foreign(path: Path) -> None:
    """Raise :class:`BundleError` if something other than a bundle of ours stands at ``path``."""
    if not path.exists():
        return
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        ours = isinstance(manifest, dict) and manifest.get("kind") == "jiesu-bundle"
    except ValueError:
        # A damaged manifest of ours may be built anew; knowledge beside it tells that it is ours.
        ours = (path / "calibration.json").is_file() and (path / "catalogue.json").is_file()
    except OSError:
        ours = False
    if not ours:
        raise BundleError(f"目标文件夹已存在且不是模型包，不覆盖：{path}")


def write_bundle(
    path: Path,
    files: Mapping[str, bytes],
    *,
    versions: Mapping[str, str],
    parameters: Mapping[str, Any],
    created_at: str,
) -> Bundle:
    """Write a bundle; it appears at ``path`` complete or not at all.

    An existing bundle at ``path`` is replaced.

    Raises
    ------
    BundleError
        If ``path`` exists and is not a bundle, or the disk refuses.
    """
    # ``a/../b`` does not exist while ``a`` does not, yet would once ``a`` is made: look at the real place.
    path = path.resolve()
    refuse_foreign(path)
    manifest = {
        "format": FORMAT,
        "kind": "jiesu-bundle",
        "created_at": created_at,
        "versions": dict(versions),
        "parameters": dict(parameters),
        "files": {
            name: {"sha256": _sha256(data), "bytes": len(data)}
            for name, data in sorted(files.items())
        },
    }
    staging: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        staging.chmod(0o755)
        for name, data in files.items():
            (staging / name).write_bytes(data)
        (staging / MANIFEST).write_text(
            json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
        )
        if path.exists():
            # Training took minutes; what stands there now need not be what stood there then.
            refuse_foreign(path)
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
            path.rename(old / path.name)
            staging.rename(path)
            shutil.rmtree(old)
        else:
            staging.rename(path)
    except BundleError:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        raise
    except OSError as error:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        raise BundleError(f"写模型包失败：{path}（{error.strerror or error}）") from error
    return Bundle(path, manifest)


class Registry:
    """The bundles of one folder and the pointer to the active one.

    ``active.json`` holds the active name and the earlier ones, newest first, so that a switch can
    be rolled back; it is replaced atomically.
    """

    POINTER = "active.json"

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> tuple[str, ...]:
        """Names of all folders that carry a manifest."""
        if not self.directory.is_dir():
            return ()
        return tuple(
            sorted(
                p.parent.name
                for p in self.directory.glob(f"*/{MANIFEST}")
                if not p.parent.name.startswith(".")
            )
        )

    def history(self) -> tuple[str, ...]:
        """Active name first, then earlier ones; empty if none was chosen."""
        try:
            names = json.loads((self.directory / self.POINTER).read_bytes())["history"]
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError):
            raise BundleError(
                f"启用记录损坏：{self.directory / self.POINTER}；删除后用 jiesu model use 重新指定"
            ) from None
        return tuple(str(n) for n in names)

    def active(self) -> str | None:
        """Name of the active bundle."""
        history = self.history()
        return history[0] if history else None

    def path(self, name: str) -> Path:
        """Folder of a bundle by name.

        Raises
        ------
        BundleError
            If there is none of that name.
        """
        if name not in self.names():
            known = "、".join(self.names()) or "（还没有）"
            raise BundleError(f"没有名为“{name}”的模型包；现有：{known}")
        return self.directory / name

    def use(self, name: str) -> Bundle:
        """Verify a bundle and make it the active one."""
        bundle = open_bundle(self.path(name))
        bundle.verify()
        history = [name, *(n for n in self.history() if n != name)]
        self.directory.mkdir(parents=True, exist_ok=True)
        temporary = self.directory / (self.POINTER + ".tmp")
        temporary.write_bytes(json_bytes({"history": history[:20]}))
        temporary.replace(self.directory / self.POINTER)
        return bundle

    def roll_back(self) -> Bundle:
        """Make the previously active bundle active again."""
        history = self.history()
        if len(history) < 2:
            raise BundleError("没有可以退回的上一个模型包")
        return self.use(history[1])
