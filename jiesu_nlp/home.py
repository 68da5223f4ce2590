"""Where things lie: the editable taxonomy and the folder of model bundles.

``JIESU_TAXONOMY`` and ``JIESU_MODELS`` override; a checkout uses its own ``taxonomy/`` and
``models/``; an installed wheel uses the taxonomy packed with it and the user's data folder.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent
_PACKAGED = _PACKAGE / "_taxonomy"


def _is_checkout() -> bool:
    return (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "taxonomy").is_dir()


def taxonomy_dir() -> Path:
    """Folder of ``catalogue/ units/ places/ rules/``."""
    configured = os.environ.get("JIESU_TAXONOMY")
    if configured:
        return Path(configured)
    return _CHECKOUT / "taxonomy" if _is_checkout() else _PACKAGED


def is_packaged(folder: Path) -> bool:
    """Tell whether a folder belongs to the installed program: an upgrade replaces what it holds."""
    return folder.resolve().is_relative_to(_PACKAGED)


def models_dir() -> Path:
    """Folder of bundles, one subfolder each, and the pointer to the active one."""
    configured = os.environ.get("JIESU_MODELS")
    if configured:
        return Path(configured)
    if _is_checkout():
        return _CHECKOUT / "models"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "jiesu" / "models"
