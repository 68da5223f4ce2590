"""What is worth asking the caller: the missing place, the doubt between two neighbours."""

from __future__ import annotations

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.classifier import Prediction
from jiesu_nlp.suggestion import Place, Unit
from jiesu_nlp.vocabulary import PlaceStatus

MAX_QUESTIONS = 3
# Two leaves are in doubt if the second has at least this share of the first's probability.
_CLOSE = 0.4
# Units that serve the whole city need no place.
_MAX_NAMED = 3


def questions_for(
    catalogue: Catalogue, prediction: Prediction, place: Place, lead: Unit, *, confidence: float
) -> tuple[str, ...]:
    """Return at most three questions, the most useful first."""
    questions = []
    if place.status == PlaceStatus.AMBIGUOUS and place.candidates:
        names = "、".join(
            f"{c.district or ''}{c.town or ''}" for c in place.candidates[:_MAX_NAMED]
        )
        questions.append(f"请核实地点：“{place.candidates[0].name}”是在{names}中的哪一处？")
    elif lead.code is None and place.status == PlaceStatus.NONE:
        questions.append("请问事情发生在哪个区、哪条街道（乡镇），具体位置是什么？")
    elif place.status == PlaceStatus.DISTRICT_ONLY and lead.unit_class in ("区政府", "街道乡镇"):
        questions.append(f"请问在{place.district}的哪个街道（乡镇）或哪个小区、哪条路？")
    doubt = _doubt(catalogue, prediction)
    if doubt is not None:
        questions.append(doubt)
    return tuple(questions[:MAX_QUESTIONS])


def _doubt(catalogue: Catalogue, prediction: Prediction) -> str | None:
    """Ask what tells the first leaf from the second, in the words of the catalogue's ``not``."""
    if len(prediction.leaves) < 2:
        return None
    p, q = prediction.probabilities[:2]
    if q < _CLOSE * p:
        return None
    first, second = (catalogue.leaves[row] for row in prediction.leaves[:2])
    for ours, other in ((first, second), (second, first)):
        for n in ours.neighbours:
            if n.code == other.code:
                return f"请确认是否属于“{n.when}”的情形？（是则归“{other.name}”）"
    return f"请确认是“{first.name}”还是“{second.name}”？"
