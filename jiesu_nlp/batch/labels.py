"""Old labels against the catalogue of today: what a label means now, and who has to decide."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from jiesu_nlp.catalogue.model import Catalogue
from jiesu_nlp.suggestion import Demand

_SEPARATORS = re.compile(r"\s*(?:›|>|/|→|\\|》)\s*")
SURE = 0.5

BASES = {
    "model": "模型",
    "successor": "目录后继",
    "split": "模型在多个后继中选定",
}
REASONS = {
    "unknown": "原标签不在目录中",
    "split": "退役编码有多个后继，模型无把握",
    "outside": "原标签不在候选集内",
    "unsure": "模型把握低",
}


@dataclass(frozen=True, slots=True)
class Refiled:
    """A ticket filed anew.

    Attributes
    ----------
    old
        Code of the old label, ``None`` if it means nothing to the catalogue.
    mapped
        The active leaf that the old label stands for now; ``None`` where a split leaves it open.
    code
        The new label.
    basis
        Who decided: a key of :data:`BASES`.
    reasons
        Why a person should look: keys of :data:`REASONS`.
    """

    old: str | None
    mapped: str | None
    code: str
    basis: str
    reasons: tuple[str, ...]


class OldLabels:
    """Reads old labels with one catalogue: code, path of names, or a name that only one leaf has."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    @cached_property
    def _known(self) -> dict[str, str]:
        known: dict[str, str] = {}
        names = Counter(leaf.name for leaf in self.catalogue.leaves)
        for retired in self.catalogue.retired:
            known[retired.name] = known[retired.code] = retired.code
        for leaf in self.catalogue.leaves:
            known["›".join(self.catalogue.path(leaf.code))] = known[leaf.code] = leaf.code
            if names[leaf.name] == 1:
                known[leaf.name] = leaf.code
        return known

    def code_of(self, label: str | None) -> str | None:
        """Return the (active or retired) code of a label."""
        text = (label or "").strip()
        if not text:
            return None
        joined = "›".join(p for p in _SEPARATORS.split(text) if p)
        return self._known.get(text) or self._known.get(joined)

    def refile(self, label: str | None, demand: Demand) -> Refiled:
        """Decide the new label of a ticket whose old label is known.

        A retired code with one successor is that successor, whatever the model says. With several
        the model chooses among them only. Else the model's leaf is the new label.
        """
        old = self.code_of(label)
        best = demand.categories[0]
        unsure = ("unsure",) if best.confidence < SURE else ()
        if old is None:
            return Refiled(None, None, best.code, "model", ("unknown", *unsure))
        successors = self.catalogue.successors(old)
        if old in self.catalogue.by_code:
            outside = old not in demand.category_set.codes
            reasons = (("outside",) if outside else ()) + unsure
            return Refiled(old, old, best.code, "model", reasons)
        if len(successors) == 1:
            return Refiled(old, successors[0], successors[0], "successor", ())
        if not successors:
            return Refiled(old, None, best.code, "model", unsure)
        among = [c for c in demand.categories if c.code in successors]
        if not among:
            return Refiled(old, None, successors[0], "split", ("split",))
        # It is one of the successors: what counts is the share among them. Where even the best is
        # outside the candidate set, the text tells of something else.
        inside = among[0].code in demand.category_set.codes
        sure = inside and among[0].confidence >= SURE * sum(c.confidence for c in among)
        return Refiled(old, None, among[0].code, "split", () if sure else ("split",))
