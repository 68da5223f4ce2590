"""The catalogue (派单目录) in memory: classes, groups, leaves, retired codes.

A code has three levels: class ``09``, group ``09-02``, leaf ``09-02-003``. Codes are stable: a
retired code is never used again and names its successors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

CLASS_CODE = re.compile(r"\d{2}")
GROUP_CODE = re.compile(r"\d{2}-\d{2}")
LEAF_CODE = re.compile(r"\d{2}-\d{2}-\d{3}")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One line of ``not``: in the case ``when`` the ticket belongs to ``code`` instead.

    ``code`` is a leaf, or a group or class where the case has many leaves there.
    """

    when: str
    code: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """One catalogue item: one matter with one direction and one deadline."""

    code: str
    name: str
    definition: str
    types: tuple[str, ...]
    unit: str
    limit: str
    neighbours: tuple[Neighbour, ...] = ()
    co_units: tuple[str, ...] = ()
    basis: str = ""
    route: str = ""
    says: tuple[str, ...] = ()

    @property
    def class_code(self) -> str:
        """Code of the level-1 class."""
        return self.code[:2]

    @property
    def group_code(self) -> str:
        """Code of the level-2 group."""
        return self.code[:5]


@dataclass(frozen=True, slots=True)
class Group:
    """A level-2 group."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class LevelOneClass:
    """A level-1 class with its leaf budget, scope and boundary against other classes."""

    code: str
    name: str
    budget: int
    scope: str = ""
    boundary: str = ""


@dataclass(frozen=True, slots=True)
class RetiredLeaf:
    """A code no longer in use and the leaves that took over its matter."""

    code: str
    name: str
    successors: tuple[str, ...]
    since: str = ""
    why: str = ""


@dataclass(frozen=True)
class Catalogue:
    """An immutable catalogue. Leaves are in code order; row ``i`` of a model is ``leaves[i]``."""

    version: str
    title: str
    classes: tuple[LevelOneClass, ...]
    groups: tuple[Group, ...]
    leaves: tuple[Leaf, ...]
    retired: tuple[RetiredLeaf, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.leaves)

    def __contains__(self, code: object) -> bool:
        return code in self.by_code

    @cached_property
    def by_code(self) -> Mapping[str, Leaf]:
        """Leaves by code."""
        return MappingProxyType({leaf.code: leaf for leaf in self.leaves})

    @cached_property
    def by_name(self) -> Mapping[str, Leaf]:
        """Leaves by name (names are unique)."""
        return MappingProxyType({leaf.name: leaf for leaf in self.leaves})

    @cached_property
    def class_by_code(self) -> Mapping[str, LevelOneClass]:
        """Level-1 classes by code."""
        return MappingProxyType({c.code: c for c in self.classes})

    @cached_property
    def group_by_code(self) -> Mapping[str, Group]:
        """Level-2 groups by code."""
        return MappingProxyType({g.code: g for g in self.groups})

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """Leaf codes in order."""
        return tuple(leaf.code for leaf in self.leaves)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Row of each leaf code."""
        return MappingProxyType({code: i for i, code in enumerate(self.codes)})

    @cached_property
    def retired_by_code(self) -> Mapping[str, RetiredLeaf]:
        """Retired leaves by code."""
        return MappingProxyType({r.code: r for r in self.retired})

    def path(self, code: str) -> tuple[str, str, str]:
        """Names of class, group and leaf of a leaf code.

        Raises
        ------
        KeyError
            If the code is not an active leaf.
        """
        leaf = self.by_code[code]
        return (
            self.class_by_code[leaf.class_code].name,
            self.group_by_code[leaf.group_code].name,
            leaf.name,
        )

    def name_of(self, code: str) -> str | None:
        """Name of a class, group or leaf; ``None`` if there is no such code."""
        node = (
            self.by_code.get(code) or self.group_by_code.get(code) or self.class_by_code.get(code)
        )
        return node.name if node else None

    def successors(self, code: str) -> tuple[str, ...]:
        """Active leaves a code stands for: itself, or the ends of its chain of successors."""
        if code in self.by_code:
            return (code,)
        found: dict[str, None] = {}
        seen: set[str] = set()
        queue = [code]
        while queue:
            current = queue.pop(0)
            if current in seen:
                continue
            seen.add(current)
            if current in self.by_code:
                found[current] = None
            elif current in self.retired_by_code:
                queue.extend(self.retired_by_code[current].successors)
        return tuple(found)

    def leaves_under(self, code: str) -> tuple[Leaf, ...]:
        """All leaves of a class, group or leaf code."""
        if code in self.by_code:
            return (self.by_code[code],)
        prefix = code + "-"
        return tuple(leaf for leaf in self.leaves if leaf.code.startswith(prefix))

    def replace_leaves(self, leaves: Iterable[Leaf]) -> Catalogue:
        """Return the same catalogue with other leaves (sorted by code)."""
        return Catalogue(
            version=self.version,
            title=self.title,
            classes=self.classes,
            groups=self.groups,
            leaves=tuple(sorted(leaves, key=lambda leaf: leaf.code)),
            retired=self.retired,
        )
