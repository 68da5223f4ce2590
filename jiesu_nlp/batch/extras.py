"""Optional packages, imported when first needed, with a message a user can act on."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from jiesu_nlp.errors import UsageError


def need(module: str, extra: str, purpose: str) -> Any:
    """Import an optional module.

    Raises
    ------
    UsageError
        Naming the extra to install.
    """
    try:
        return import_module(module)
    except ImportError:
        raise UsageError(
            f"{purpose}需要 {module.partition('.')[0]}；请安装：pip install 'jiesu-nlp[{extra}]'"
        ) from None


def arrow() -> Any:
    """Return ``pyarrow``."""
    return need("pyarrow", "tables", "批量重标")
