"""Keep the garbage collector from walking what is no garbage.

A loaded bundle is some million objects that live as long as the process, and a batch of suggestions
some ten thousand that are all in use: looking through them takes time from the tickets.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Put collection off; cycles made inside are found after it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def kept_for_good() -> Iterator[None]:
    """Take all that is made inside (and before) out of collection for good."""
    with no_collection():
        yield
        gc.freeze()
