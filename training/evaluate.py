"""Judge a bundle on labelled tickets: every measure of the design, with intervals and slices."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.vocabulary import Decision, Gate
from training.audit import suspects
from training.excerpt import excerpt
from training.metrics import (
    Measure,
    calibration_error,
    chance_calibration_error,
    coverage_at,
    macro_f1,
    mean_of,
    reliability,
    risk_coverage,
    statistic_of,
)
from training.scoring import Scored, score
from training.tickets import LabelledTicket
from training.unclear import unclear_texts

Array = NDArray[Any]
Report = Callable[[str, float], None]

_EXAMPLE_LENGTH = 90
# So many tickets a slice must hold to be shown.
_LEAST_IN_SLICE = 5
_MOST_CONFUSIONS = 30
_MOST_SUSPECTS = 30
_LENGTHS = ((30, "30 字以内"), (80, "31–80 字"), (200, "81–200 字"), (10**9, "200 字以上"))
_CONFIDENCES = ((0.5, "不足 50%"), (0.7, "50–70%"), (0.9, "70–90%"), (2.0, "90% 以上"))
_GATES = frozenset(Gate)
_PLACES = {
    "resolved": "已定到街道乡镇",
    "district_only": "只知区",
    "ambiguous": "有歧义",
    "none": "无地点",
}
VOICES = {
    "spoken": "口述",
    "asr": "语音转写",
    "summary": "派单员记录",
    "letter": "来信",
    "post": "网络留言",
    "short": "短句",
    "ramble": "絮叨",
}

# Key → name in reports, in the order shown.
NAMES: Mapping[str, str] = {
    "leaf_top1": "细项首位正确",
    "leaf_top3": "细项前三含正确",
    "leaf_top5": "细项前五含正确",
    "level2": "小类正确",
    "level1": "一级类正确",
    "macro_f1": "细项宏平均 F1",
    "leaf_served": "细项首位正确（端到端）",
    "unit_strict": "承办单位正确（严格）",
    "unit_lenient": "承办单位正确（含可接受）",
    "tier": "时限正确",
    "district": "区正确",
    "town": "街道乡镇正确",
    "invented": "文中无地点却给出区",
    "coverage_95": "单位精度 95% 时的覆盖率",
    "coverage_98": "单位精度 98% 时的覆盖率",
    "auto_share": "可直派的比例",
    "auto_precision": "可直派中单位正确",
    "ece_raw": "细项校准误差 ECE（原始）",
    "ece": "细项校准误差 ECE（校准后）",
    "ece_chance": "完全校准时同样件数的 ECE",
    "ece_level1": "一级类校准误差 ECE（校准后）",
    "ece_unit": "单位校准误差 ECE（校准后）",
    "conformal_coverage": "候选集含正确细项",
    "set_size": "候选集平均大小",
    "abstention": "不明诉求转人工",
    "unclear_low": "不明诉求细项把握不足 0.5",
}
_ECE = ("ece_raw", "ece", "ece_chance", "ece_level1", "ece_unit")
LOWER_IS_BETTER = frozenset(("invented", "set_size", *_ECE))
AS_NUMBER = frozenset(("set_size", *_ECE))


@dataclass(frozen=True)
class Evaluation:
    """All figures of one bundle on one set; ``to_json`` is what ``--json`` writes."""

    about: dict[str, Any]
    overall: dict[str, Measure]
    slices: dict[str, list[dict[str, Any]]]
    classes: list[dict[str, Any]]
    leaves: list[dict[str, Any]]
    confusions: list[dict[str, Any]]
    suspects: list[dict[str, Any]]
    curves: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "about": self.about,
            "overall": {key: m.to_json() for key, m in self.overall.items()},
            "slices": self.slices,
            "classes": self.classes,
            "leaves": self.leaves,
            "confusions": self.confusions,
            "suspects": self.suspects,
            "curves": self.curves,
        }


def evaluate(
    dispatcher: Dispatcher,
    tickets: Sequence[LabelledTicket],
    *,
    leaf_counts: Sequence[int] | None = None,
    about: Mapping[str, Any] | None = None,
    unclear: Sequence[str] | None = None,
    report: Report = lambda stage, done: None,
) -> Evaluation:
    """Answer the tickets and measure.

    Parameters
    ----------
    leaf_counts
        Labelled tickets per leaf in training, for the slice of rare leaves.
    about
        What to say of bundle and data.
    unclear
        Texts without a matter; seeded gibberish if ``None``.
    """
    started = time.perf_counter()
    scored = score(dispatcher, tickets, report=lambda done: report("逐件答复", 0.7 * done))
    seconds = time.perf_counter() - started
    texts = list(unclear) if unclear is not None else unclear_texts([t.text for t in tickets])
    report("逐件答复", 0.72)
    abstained, unsure = abstentions(dispatcher, texts)
    report("计算指标", 0.75)
    overall = measures(scored)
    overall["abstention"] = mean_of(abstained)
    overall["unclear_low"] = mean_of(unsure)
    report("计算指标", 0.9)
    evaluation = Evaluation(
        about={
            **(about or {}),
            "tickets": len(tickets),
            "versions": dispatcher.versions.to_dict(),
            "tickets_per_second": round(len(tickets) / max(seconds, 1e-9)),
            "unclear_texts": len(texts),
            "stated_coverage": dispatcher.classifier.set_rule.coverage,
            "auto_at": dispatcher.calibration.auto_at,
            "suggest_at": dispatcher.calibration.suggest_at,
        },
        overall=overall,
        slices=slices(scored, leaf_counts),
        classes=per_class(scored, dispatcher),
        leaves=per_leaf(scored, dispatcher),
        confusions=confusions(scored, dispatcher),
        suspects=[
            s.to_json(dispatcher.catalogue)
            for s in suspects(scored)[:_MOST_SUSPECTS]
            if s.confident
        ],
        curves=curves(scored),
    )
    report("完成", 1.0)
    return evaluation


def abstentions(dispatcher: Dispatcher, texts: Sequence[str]) -> tuple[Array, Array]:
    """Return, for texts without a matter, whether a person is asked and whether no leaf is likely."""
    asked, unsure = [], []
    for answer in dispatcher.suggest_many(texts, evidence=False):
        asked.append(all(d.decision == Decision.REVIEW for d in answer.demands))
        unsure.append(all(d.categories[0].confidence < 0.5 for d in answer.demands))
    return np.array(asked, np.float64), np.array(unsure, np.float64)


def measures(s: Scored) -> dict[str, Measure]:
    """Return every figure that the tickets can answer."""
    n = len(s)
    leaf = s.leaf_right
    found = {
        "leaf_top1": mean_of(leaf),
        "leaf_top3": mean_of((s.rank <= 3).astype(float)),
        "leaf_top5": mean_of((s.rank <= 5).astype(float)),
        "level2": mean_of(s.group_right),
        "level1": mean_of(s.class_right),
        "macro_f1": statistic_of(lambda i: macro_f1(s.truth[i], s.guess[i]), n),
        "leaf_served": mean_of(s.leaf_served),
    }
    for name in ("unit_strict", "unit_lenient", "tier", "district", "town", "invented"):
        found[name] = mean_of(getattr(s, name))
    known = np.flatnonzero(~np.isnan(s.unit_lenient))
    if len(known):
        confidence, right = s.unit_confidence[known], s.unit_lenient[known]
        auto = s.decision[known] == Decision.AUTO.value
        found["auto_share"] = mean_of(auto.astype(float))
        found["auto_precision"] = mean_of(np.where(auto, right, np.nan))
        for level in (95, 98):
            found[f"coverage_{level}"] = statistic_of(
                lambda i, at=level / 100: coverage_at(confidence[i], right[i], at),  # type: ignore[misc]
                len(known),
            )
        found["ece_unit"] = statistic_of(
            lambda i: calibration_error(confidence[i], right[i]), len(known)
        )
    found["ece_raw"] = statistic_of(lambda i: calibration_error(s.top_p[i, 0], leaf[i]), n)
    found["ece"] = statistic_of(lambda i: calibration_error(s.leaf_confidence[i], leaf[i]), n)
    found["ece_chance"] = chance_calibration_error(s.leaf_confidence)
    found["ece_level1"] = statistic_of(
        lambda i: calibration_error(s.class_confidence[i], s.class_right[i]), n
    )
    found["conformal_coverage"] = mean_of(s.in_set)
    found["set_size"] = mean_of(s.set_size.astype(float))
    return {key: found[key] for key in NAMES if key in found and found[key].n}


def slices(s: Scored, leaf_counts: Sequence[int] | None) -> dict[str, list[dict[str, Any]]]:
    """Return the main figures for parts of the tickets."""
    lengths = np.array([len(t.text) for t in s.tickets])
    length_names = np.array([next(name for most, name in _LENGTHS if n <= most) for n in lengths])
    sure = [next(name for below, name in _CONFIDENCES if c < below) for c in s.leaf_confidence]
    counts = (
        np.asarray(leaf_counts)[s.truth]
        if leaf_counts is not None and len(leaf_counts)
        else np.bincount(s.truth)[s.truth]
    )
    rarity = np.select(
        [counts == 0, counts < 10, counts < 100],
        ["训练中无工单", "1–9 件", "10–99 件"],
        "100 件以上",
    )
    rarity_name = "细项的训练工单数"
    if leaf_counts is None:
        rarity_name = "细项在本评测集中的件数"
        rarity = np.select([counts <= 1, counts < 5], ["1 件", "2–4 件"], "5 件以上")
    parts: dict[str, tuple[Array, list[str]]] = {
        "语气": _named(s, lambda t: VOICES.get(t.voice or "", t.voice or "")),
        "长度": (length_names, [name for _, name in _LENGTHS]),
        "首位细项的把握": (np.array(sure), [name for _, name in _CONFIDENCES]),
        "定位结果": (
            np.array([_PLACES.get(str(p), "") for p in s.place_status]),
            list(_PLACES.values()),
        ),
        rarity_name: (
            rarity,
            ["训练中无工单", "1–9 件", "10–99 件", "100 件以上", "1 件", "2–4 件", "5 件以上"],
        ),
        "诉求类型": _named(s, lambda t: t.request_type or ""),
        "分流": _named(s, lambda t: Gate(t.gate).label if t.gate in _GATES else t.gate or ""),
        "来源": _named(s, lambda t: t.source or ""),
        "月份": _named(s, lambda t: (t.created_at or "")[:7]),
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for title, (values, order) in parts.items():
        rows = []
        for name in order:
            at = np.flatnonzero(values == name)
            if name and len(at) >= _LEAST_IN_SLICE:
                rows.append({"name": name, **_main_figures(s.select(at))})
        if len(rows) > 1 or (rows and title == "语气"):
            found[title] = rows[:40]
    return found


def _named(s: Scored, of: Callable[[LabelledTicket], str]) -> tuple[Array, list[str]]:
    values = np.array([of(t) for t in s.tickets])
    return values, sorted(set(values.tolist()))


def _main_figures(s: Scored) -> dict[str, Any]:
    return {
        "n": len(s),
        "leaf_top1": mean_of(s.leaf_right).to_json(),
        "leaf_top5": mean_of((s.rank <= 5).astype(float)).to_json(),
        "level1": mean_of(s.class_right).to_json(),
        "unit_lenient": mean_of(s.unit_lenient).to_json(),
        "confidence": round(float(s.leaf_confidence.mean()), 4),
        "conformal_coverage": mean_of(s.in_set).to_json(),
        "set_size": round(float(s.set_size.mean()), 2),
    }


def per_class(s: Scored, dispatcher: Dispatcher) -> list[dict[str, Any]]:
    """Return recall, precision and F1 of every level-1 class with the leaf figures within it."""
    class_of = dispatcher.classifier.class_of
    truth = class_of[s.truth]
    guess = np.where(s.class_right == 1, truth, s.class_guess)
    rows = []
    for row, level_one in enumerate(dispatcher.catalogue.classes):
        at = np.flatnonzero(truth == row)
        if not len(at):
            continue
        hits = int((guess[at] == row).sum())
        claimed = int((guess == row).sum())
        rows.append(
            {
                "code": level_one.code,
                "name": level_one.name,
                "precision": hits / claimed if claimed else None,
                "f1": 2 * hits / (len(at) + claimed),
                **_main_figures(s.select(at)),
            }
        )
    return rows


def per_leaf(s: Scored, dispatcher: Dispatcher) -> list[dict[str, Any]]:
    """Return support, recall and precision of every leaf that occurs, worst first."""
    catalogue = dispatcher.catalogue
    guess = s.guess
    support, right, claimed = Counter(s.truth.tolist()), Counter[int](), Counter(guess.tolist())
    for t, g in zip(s.truth.tolist(), guess.tolist(), strict=True):
        right[t] += t == g
    rows = [
        {
            "code": catalogue.codes[leaf],
            "name": catalogue.leaves[leaf].name,
            "n": n,
            "recall": round(right[leaf] / n, 4),
            "precision": round(right[leaf] / claimed[leaf], 4) if claimed[leaf] else None,
            "f1": round(2 * right[leaf] / (n + claimed[leaf]), 4),
        }
        for leaf, n in support.items()
    ]
    return sorted(rows, key=lambda r: (r["n"] * (r["recall"] - 1), r["code"]))


def confusions(s: Scored, dispatcher: Dispatcher) -> list[dict[str, Any]]:
    """Return the pairs of leaves confused most often, with redacted examples."""
    catalogue = dispatcher.catalogue
    pairs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i in np.flatnonzero(s.rank > 1):
        pairs[int(s.truth[i]), int(s.top[i, 0])].append(int(i))
    worst = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))[:_MOST_CONFUSIONS]
    found = []
    for (truth, guess), rows in worst:
        a, b = catalogue.leaves[truth], catalogue.leaves[guess]
        found.append(
            {
                "truth": a.code,
                "truth_name": a.name,
                "guess": b.code,
                "guess_name": b.name,
                "n": len(rows),
                "same_unit": a.unit == b.unit,
                "examples": [excerpt(s.tickets[i].text, _EXAMPLE_LENGTH) for i in rows[:2]],
            }
        )
    return found


def curves(s: Scored) -> dict[str, Any]:
    """Return the points of the reliability diagram and the risk–coverage curves."""
    leaf = s.leaf_right
    found: dict[str, Any] = {
        "reliability": {
            "细项（原始）": reliability(s.top_p[:, 0], leaf),
            "细项（校准后）": reliability(s.leaf_confidence, leaf),
            "一级类（校准后）": reliability(s.class_confidence, s.class_right),
        },
        "risk_coverage": {"细项": risk_coverage(s.leaf_confidence, leaf)},
        "rank": [float((s.rank <= k).mean()) for k in range(1, 11)],
    }
    known = ~np.isnan(s.unit_lenient)
    if known.any():
        confidence, right = s.unit_confidence[known], s.unit_lenient[known]
        found["reliability"]["承办单位（校准后）"] = reliability(confidence, right)
        found["risk_coverage"]["承办单位"] = risk_coverage(confidence, right)
    return found
