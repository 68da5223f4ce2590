"""Labels in data → leaves of a catalogue: codes, paths, names, retired codes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.catalogue.model import LEAF_CODE, Group, Leaf, LevelOneClass
from jiesu_nlp.errors import DataError
from jiesu_nlp.vocabulary import UNIT_CLASS_SET, RequestType, Tier

_SEPARATOR = re.compile(r"\s*(?:[›»→＞>/／\\|｜]|-{2,}|——)\s*")
_MOST_CLASSES = 99
_MOST_LEAVES = 999
_MOST_REMEMBERED = 100_000
_EVERYTHING = "全部类目"
_SHOWN = 5
UNKNOWN, AMBIGUOUS, TOO_HIGH = "编码不存在", "退役编码有多个后继", "只到大类或小类"
SEVERAL = "名称不止一项"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a label stands for; without a ``code`` the reason says why."""

    code: str | None
    reason: str = ""
    detail: str = ""
    retired: bool = False


def path_of(label: str) -> tuple[str, ...]:
    """Split a written path; levels below the third are joined to it."""
    parts = [p for p in _SEPARATOR.split(label.strip()) if p] or [label.strip()]
    return (*parts[:2], "·".join(parts[2:])) if len(parts) > 3 else tuple(parts)


class LabelBook:
    """Resolve labels against a catalogue; answers are remembered and counted.

    A path may leave out levels as long as one leaf only is meant.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._by_path: dict[tuple[str, ...], str] = {}
        short: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        for leaf in catalogue.leaves:
            path = catalogue.path(leaf.code)
            self._by_path.setdefault(path, leaf.code)
            for names in ((path[0], path[2]), (path[1], path[2]), (path[2],)):
                short[names].add(leaf.code)
        self._by_short_path = {names: sorted(codes) for names, codes in short.items()}
        self._known: dict[str, Resolved] = {}
        self.retired: Counter[str] = Counter()

    def resolve(self, label: str) -> Resolved:
        """Return the leaf a label stands for."""
        found = self._known.get(label)
        if found is None:
            found = self._look_up(label.strip())
            # A column of anything but labels must not fill the memory.
            if len(self._known) < _MOST_REMEMBERED:
                self._known[label] = found
        if found.retired and found.code is not None:
            self.retired[f"{label} → {found.code}"] += 1
        return found

    def _look_up(self, label: str) -> Resolved:
        catalogue = self.catalogue
        names = path_of(label)
        # A label that a leaf was made of means that leaf, whatever else it is short for.
        for top in (_EVERYTHING, names[0]):
            code = self._by_path.get(_three_levels(names, top))
            if code is not None:
                return Resolved(code)
        if label in catalogue.by_code:
            return Resolved(label)
        if label in catalogue.retired_by_code:
            heirs = catalogue.successors(label)
            if len(heirs) == 1:
                return Resolved(heirs[0], retired=True)
            if heirs:
                return Resolved(
                    None, AMBIGUOUS, f"{label} 的后继有 {'、'.join(heirs)}，须由人选定", True
                )
            return Resolved(None, UNKNOWN, f"{label} 已退役且没有后继", True)
        meant = self._by_short_path.get(names, ())
        if len(meant) == 1:
            return Resolved(meant[0])
        if meant:
            paths = "、".join(" › ".join(catalogue.path(code)) for code in meant[:_SHOWN])
            return Resolved(
                None, SEVERAL, f"“{label[:40]}”可指 {len(meant)} 项：{paths}，请写全路径"
            )
        if catalogue.name_of(label) is not None:
            return Resolved(None, TOO_HIGH, f"{label} 不是细项编码")
        return Resolved(None, UNKNOWN, f"目录里没有“{label[:40]}”")


def catalogue_of_labels(
    labels: Iterable[str], units: Mapping[str, str] | None = None, *, version: str
) -> Catalogue:
    """Make a catalogue of the labels themselves, for data with a scheme of its own.

    A label may be a leaf code (``09-02-003``), a path (``市容 › 占道 › 游商``) or a plain name.
    Up to 99 plain names are level-1 classes of one leaf each; more stand in one class. Labels that
    write the same path differently are one leaf.

    Parameters
    ----------
    labels
        Distinct labels.
    units
        Direction of each label where known; others have none.

    Raises
    ------
    DataError
        If there are fewer than two labels, or more than codes allow.
    """
    names = sorted({label.strip() for label in labels if label.strip()})
    if len(names) < 2:
        raise DataError(
            f"只有 {len(names)} 个类目（{'、'.join(names) or '无'}），无法训练分类器",
            remedy="至少需要两个类目的工单",
        )
    if all(LEAF_CODE.fullmatch(name) for name in names):
        nodes = {name: (name[:2], name[:5], name) for name in names}
        codes = {name: name for name in names}
    else:
        label_of: dict[tuple[str, str, str], str] = {}
        for name in names:
            parts = path_of(name)
            top = parts[0] if len(names) <= _MOST_CLASSES else _EVERYTHING
            label_of.setdefault(_three_levels(parts, top), name)
        nodes = {name: path for path, name in label_of.items()}
        codes = _number(nodes)
    directions = units or {}
    classes: dict[str, LevelOneClass] = {}
    groups: dict[str, Group] = {}
    leaves = []
    for name, code in codes.items():
        first, second, third = nodes[name]
        level_one = classes.get(code[:2]) or LevelOneClass(code[:2], first, 0)
        classes[code[:2]] = replace(level_one, budget=level_one.budget + 1)
        groups[code[:5]] = Group(code[:5], second)
        unit = directions.get(name, "")
        leaves.append(
            Leaf(
                code=code,
                name=third,
                definition=f"工单中标为“{name}”的诉求",
                types=tuple(t.value for t in RequestType),
                unit=unit if unit in UNIT_CLASS_SET else "其他",
                limit=Tier.SEVEN_DAYS.value,
            )
        )
    return Catalogue(
        version=version,
        title="由工单标签生成的目录",
        classes=tuple(classes[c] for c in sorted(classes)),
        groups=tuple(groups[g] for g in sorted(groups)),
        leaves=tuple(sorted(leaves, key=lambda leaf: leaf.code)),
    )


def _three_levels(parts: tuple[str, ...], top: str) -> tuple[str, str, str]:
    """Fill up a written path; a plain name stands in the class ``top``."""
    if len(parts) == 1:
        return (top, top, parts[0])
    if len(parts) == 2:
        return (parts[0], parts[0], parts[1])
    return (parts[0], parts[1], parts[2])


def _number(nodes: Mapping[str, tuple[str, str, str]]) -> dict[str, str]:
    """Give every label a code by the order of its path."""
    tops: dict[str, int] = {}
    seconds: dict[tuple[str, str], int] = {}
    used: Counter[str] = Counter()
    in_class: Counter[str] = Counter()
    codes = {}
    for name, (first, second, _) in sorted(nodes.items(), key=lambda item: item[1]):
        top = tops.setdefault(first, len(tops) + 1)
        key = (first, second)
        group = f"{top:02d}-{seconds.get(key, 0):02d}"
        if key not in seconds or used[group] == _MOST_LEAVES:
            in_class[first] += 1
            seconds[key] = in_class[first]
            group = f"{top:02d}-{seconds[key]:02d}"
        used[group] += 1
        if top > _MOST_CLASSES or seconds[key] > _MOST_CLASSES:
            raise DataError(
                f"类目太多：大类 {len(tops)} 个，编码容不下",
                remedy="给标签写出层级（大类 › 小类 › 细项），每层不超过 99 个",
            )
        codes[name] = f"{group}-{used[group]:03d}"
    return codes
