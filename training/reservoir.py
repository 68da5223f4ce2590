"""A uniform sample of a stream of unknown length, in bounded memory and in order (Vitter 1985)."""

from __future__ import annotations

import random
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Reservoir(Generic[Item]):
    """Keeps at most ``most`` of the items added, each equally likely; ``seen`` counts them all."""

    def __init__(self, most: int, seed: int = 0) -> None:
        self._most = most
        self._rng = random.Random(seed)
        self._kept: list[tuple[int, Item]] = []
        self.seen = 0

    def add(self, item: Item) -> None:
        """Take one more item into account."""
        if len(self._kept) < self._most:
            self._kept.append((self.seen, item))
        else:
            at = self._rng.randrange(self.seen + 1)
            if at < self._most:
                self._kept[at] = (self.seen, item)
        self.seen += 1

    def items(self) -> list[Item]:
        """Return what was kept, in the order it came."""
        return [item for _, item in sorted(self._kept, key=lambda pair: pair[0])]
