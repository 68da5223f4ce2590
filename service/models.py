"""The model in service and the one in its shadow; a new one loads beside the old and swaps at once."""

from __future__ import annotations

import gc
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jiesu_nlp.bundle import Bundle, Registry, open_bundle
from jiesu_nlp.dispatcher import DEFAULT_BUNDLE, Dispatcher
from jiesu_nlp.errors import BundleError, UsageError
from jiesu_nlp.files import replace_file
from jiesu_nlp.knowledge import SAYS_FILE

_WARM_UP = (
    "朝阳区望京西园四区门口每天晚上一排烧烤摊，油烟味熏得窗户都不敢开",
    "楼道里全是煤气味；另外路灯坏了半个月没人修，在方庄芳古园一区门口",
)
_Look = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class LoadedModel:
    """A bundle that answers."""

    name: str
    bundle: Bundle
    dispatcher: Dispatcher

    @cached_property
    def says(self) -> Mapping[str, list[str]]:
        """Examples of each leaf; read when first asked for."""
        if SAYS_FILE not in self.bundle:
            return {}
        says: Mapping[str, list[str]] = self.bundle.read_json(SAYS_FILE)
        return says


def load_model(name: str, bundle: Bundle) -> LoadedModel:
    """Verify, load and try a bundle.

    Raises
    ------
    BundleError
        If it is damaged, or cannot answer.
    """
    bundle.verify()
    try:
        dispatcher = Dispatcher.from_bundle(bundle)
        for text in _WARM_UP:
            dispatcher.suggest(text)
    except BundleError:
        raise
    except Exception as fault:
        raise BundleError(
            f"模型包“{name}”无法使用（{type(fault).__name__}：{fault}）；请用本版本程序重新生成"
        ) from fault
    return LoadedModel(name, bundle, dispatcher)


def _look(folder: Path) -> _Look:
    """Return what changes as soon as anything in a bundle is mended, without reading it."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted((e.name, e.stat().st_ctime_ns, e.stat().st_size) for e in entries))
    except (OSError, ValueError):
        return ()


class ModelHost:
    """Holds the active model and the shadow; readers take a reference and keep it for a request.

    Which is the shadow stands in ``shadow.json`` beside the registry's pointer, so that it outlives
    a restart and holds for every instance of the folder.
    """

    SHADOW_POINTER = "shadow.json"

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.shadow: LoadedModel | None = None
        # What was refused, as it stood then.
        self._refused: dict[str, _Look] = {}
        self._active: LoadedModel | None = None
        self._switching = threading.Lock()

    @property
    def active(self) -> LoadedModel:
        """The model that answers."""
        if self._active is None:
            raise BundleError("模型包尚未载入")
        return self._active

    @property
    def is_ready(self) -> bool:
        """Whether a model answers."""
        return self._active is not None

    def load(self) -> None:
        """Load the registry's active bundle at the start."""
        name = self.registry.active() or DEFAULT_BUNDLE
        self._active = load_model(name, open_bundle(self.registry.path(name)))
        gc.collect()
        # What lives as long as the service need not be looked at by every collection.
        gc.freeze()

    def activate(self, name: str) -> LoadedModel:
        """Load a bundle beside the running one, then make it the active one here and on disk.

        Raises
        ------
        BundleError
            If it is missing or bad; the old one keeps serving.
        """
        with self._switching:
            model = load_model(name, open_bundle(self.registry.path(name)))
            # A first switch must be able to go back to the default that served without being chosen.
            if self.registry.active() is None and self._active is not None:
                self.registry.use(self._active.name)
            self.registry.use(name)
            self._active = model
            return model

    def roll_back(self) -> LoadedModel:
        """Go back to the model before.

        Raises
        ------
        BundleError
            If there is none, or it is bad.
        """
        history = self.registry.history()
        if len(history) < 2:
            raise BundleError("没有可以退回的上一个模型包")
        return self.activate(history[1])

    def set_shadow(self, name: str | None) -> None:
        """Let a candidate answer beside the active model, or end that.

        Raises
        ------
        BundleError
            If it is missing or bad.
        """
        with self._switching:
            model = None
            if name is not None:
                model = load_model(name, open_bundle(self.registry.path(name)))
            pointer = self.registry.directory / self.SHADOW_POINTER
            try:
                replace_file(pointer, json.dumps({"shadow": name}, ensure_ascii=False).encode())
            except UsageError as fault:
                raise BundleError(str(fault)) from None
            self.shadow = model

    def follow(self) -> str | None:
        """Take over what was switched elsewhere (``jiesu model use``, another instance, last run).

        Returns what was refused and why.
        """
        faults = []
        for take_over in (self._follow_active, self._follow_shadow):
            try:
                take_over()
            except BundleError as fault:
                faults.append(str(fault))
            except OSError as fault:
                # The thread that follows has more to do than this.
                faults.append(
                    f"模型包文件夹 {self.registry.directory} 读不了：{fault.strerror or fault}；请检查权限与磁盘"
                )
        return "；".join(faults) or None

    def _follow_active(self) -> None:
        name = self.registry.active()
        if name is None or name == self.active.name:
            return
        with self._switching:
            self._active = self._tried_once(name) or self._active

    def _follow_shadow(self) -> None:
        name = self._wanted_shadow()
        if name == (self.shadow.name if self.shadow else None):
            return
        with self._switching:
            self.shadow = (self._tried_once(name) or self.shadow) if name else None

    def _tried_once(self, name: str) -> LoadedModel | None:
        """Load a bundle; ``None`` if it was refused before and nothing in it has changed since.

        A bad one must not be loaded again every few seconds, a mended one needs no restart.
        """
        look = _look(self.registry.directory / name)
        if self._refused.get(name) == look:
            return None
        try:
            model = load_model(name, open_bundle(self.registry.path(name)))
        except BundleError:
            self._refused[name] = look
            raise
        self._refused.pop(name, None)
        return model

    def _wanted_shadow(self) -> str | None:
        pointer = self.registry.directory / self.SHADOW_POINTER
        try:
            name = json.loads(pointer.read_bytes())["shadow"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise BundleError(
                f"影子设定损坏：{pointer}；在“模型”页重新设定，或删除该文件"
            ) from None
        return None if name is None else str(name)

    def listing(self) -> list[dict[str, Any]]:
        """Return all bundles with what a person wants to know of them."""
        found = []
        for name in self.registry.names():
            row: dict[str, Any] = {
                "name": name,
                "active": self._active is not None and name == self._active.name,
                "shadow": self.shadow is not None and name == self.shadow.name,
            }
            try:
                bundle = open_bundle(self.registry.path(name))
            except BundleError as fault:
                found.append({**row, "error": str(fault)})
                continue
            size = sum(f["bytes"] for f in bundle.manifest["files"].values())
            found.append(
                {
                    **row,
                    "created_at": bundle.manifest["created_at"],
                    "versions": dict(bundle.versions),
                    "parameters": dict(bundle.manifest["parameters"]),
                    "megabytes": round(size / 1e6, 1),
                    "card": self.card(name) is not None,
                }
            )
        return found

    def card(self, name: str) -> str | None:
        """Return the model card of a bundle, Markdown; ``None`` if it has none."""
        folder = self.registry.path(name)
        for path in (folder / "card.md", folder / "README.md", folder.parent / f"{name}.md"):
            if path.is_file():
                return path.read_text(encoding="utf-8", errors="replace")
        return None
