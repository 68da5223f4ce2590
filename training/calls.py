"""Hand-written calls: what they are to the gates, and the leaf an operator would file them under.

``emergency.tsv`` and ``gates.tsv`` are what the gate scorer is fitted on. Whatever its gate, a call
is filed as well, so those of a leaf teach the classifier too: says seldom speak of a father who
has drunk pesticide, or of a ticket reported for the third time. The other files are development
sets and teach nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.errors import DataError
from jiesu_nlp.gates import LINES, REFUSALS
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.vocabulary import Gate

EMERGENCIES = Path(__file__).parent / "data" / "emergency.tsv"
DEVELOPMENT = EMERGENCIES.with_name("emergency_dev.tsv")
PLAIN_WORDS = EMERGENCIES.with_name("emergency_dev_plain.tsv")
REFUSED = EMERGENCIES.with_name("gates.tsv")
REFUSED_DEVELOPMENT = EMERGENCIES.with_name("gates_dev.tsv")


@dataclass(frozen=True, slots=True)
class Call:
    """One hand-written call.

    Attributes
    ----------
    kind
        The line to call, if it is an emergency, its gate, or ``none``.
    text
        Normalised as tickets are.
    leaf
        Name of its leaf; empty if none is right, or nobody has filed it.
    """

    kind: str
    text: str
    leaf: str = ""


def read_calls(path: Path, kinds: Sequence[str] = LINES) -> list[Call]:
    """Read a file of calls, ``kind text leaf`` by tabs; the leaf may be missing.

    Raises
    ------
    DataError
        Naming the line.
    """
    known = (*kinds, Gate.NONE.value)
    calls = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[1:], start=2):
        kind, _, rest = line.partition("\t")
        text, _, leaf = rest.partition("\t")
        if kind not in known or not text.strip() or "\t" in leaf:
            raise DataError(
                "应为“类型<制表符>文字”，后面可再加“<制表符>细项名称”，"
                f"类型是 {'、'.join(known)} 之一",
                path=path,
                line=number,
            )
        calls.append(Call(kind, normalise(text).text, leaf))
    return calls


def training_calls() -> list[Call]:
    """Return the calls that teach; those of the development files do not."""
    return [*read_calls(EMERGENCIES), *read_calls(REFUSED, REFUSALS)]


def filed_calls(catalogue: Catalogue) -> dict[str, list[str]]:
    """Return the texts of the calls filed under each leaf, by its code.

    Leaves are known by their names: a code of another catalogue may mean anything.
    """
    code_of = {leaf.name: leaf.code for leaf in catalogue.leaves}
    filed: dict[str, list[str]] = {leaf.code: [] for leaf in catalogue.leaves}
    for call in training_calls():
        if call.leaf in code_of:
            filed[code_of[call.leaf]].append(call.text)
    return filed
