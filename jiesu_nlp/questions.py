"""What is worth asking the caller: the missing place, the firm, the doubt between two neighbours."""

from __future__ import annotations

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.classifier import Prediction
from jiesu_nlp.route.router import UNNAMED_FIRM
from jiesu_nlp.suggestion import Place, Unit
from jiesu_nlp.vocabulary import PlaceStatus, RequestType

MAX_QUESTIONS = 3
# Two leaves are in doubt if the second has at least this share of the first's probability.
_CLOSE = 0.4
_MAX_NAMED = 3
# Firms that come to the house: a report without an address is no use to them.
_FIRMS = {
    "供水企业": "自来水公司（看水费单；自备井供水的是产权单位）",
    "供电企业": "供电公司（95598），还是由物业、产权单位转供电",
    "燃气企业": "燃气公司（看燃气卡或缴费记录）",
    "供热企业": "供热单位（看采暖费缴费单）",
    "排水企业": "单位负责的排水管线",
    "通信运营商": "运营商（联通、移动、电信、歌华等，看账单）",
    "广电网络": "有线电视公司",
}


def open_points(place: Place, lead: Unit, request_type: str) -> tuple[str, ...]:
    """Return what must be asked before a firm that comes to the house can act.

    Only policy questions can be answered without an address.
    """
    asked = _FIRMS.get(lead.unit_class)
    if asked is None or request_type == RequestType.ENQUIRY:
        return ()
    points = []
    if place.status == PlaceStatus.NONE:
        points.append("请问在哪个区、哪个小区（或哪条路）、几号楼几单元？没有地址无法上门。")
    if UNNAMED_FIRM in (lead.reason or ""):
        points.append(f"请问是哪家{asked}？")
    return tuple(points)


def questions_for(
    catalogue: Catalogue,
    prediction: Prediction,
    place: Place,
    lead: Unit,
    *,
    confidence: float,
    points: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Return at most three questions, the most useful first; ``points`` are :func:`open_points`."""
    questions = list(points)
    if place.status == PlaceStatus.AMBIGUOUS and place.candidates:
        names = "、".join(
            f"{c.district or ''}{c.town or ''}" for c in place.candidates[:_MAX_NAMED]
        )
        questions.insert(0, f"请核实地点：“{place.candidates[0].name}”是在{names}中的哪一处？")
    elif lead.code is None and place.status == PlaceStatus.NONE and not points:
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
