"""The whole way of one ticket, stage by stage: what was seen, what was tried, what decided.

An explanation is made of *stages*, each with plain *facts* (JSON types, ready to show). It is
computed with the same functions as the suggestion it explains, and holds no personal data: texts
in it are redacted, and personal data are reported by kind, never by content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from jiesu_nlp.dispatcher import (
    _GATE_BY_LEAF,
    _LEAST_ROUTED,
    ROUTED_LEAVES,
    Dispatcher,
    _Draft,
    _Part,
    _place_factor,
    _Seen,
    _Segment,
)
from jiesu_nlp.locate.locator import LocatedText
from jiesu_nlp.route.dates import in_force
from jiesu_nlp.route.rules import Attempt, Case, Rule
from jiesu_nlp.suggestion import Demand, Place, Span, Suggestion
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.text.redact import find_personal_data, redact
from jiesu_nlp.ticket import Ticket
from jiesu_nlp.vocabulary import Gate, PlaceKind, Tier

_MOST_CHANGES = 20
_LONGEST_COMPARED = 3000
_MOST_SITES = 12
_MOST_ZONES = 4
_WORDS_SHOWN = 6
_PERSONAL = {
    "mobile": "手机号",
    "landline": "固定电话",
    "identity_card": "身份证号",
    "bank_card": "银行卡号",
    "document": "证件号",
    "plate": "车牌号",
    "email": "电子邮箱",
    "account": "社交账号",
    "name": "姓名",
    "surname": "姓氏",
}
_FIELDS = {
    "before": "紧接在“{}”之后",
    "after": "后面紧跟“{}”",
    "with": "同句附近没有“{}”等词",
    "unless": "附近有“{}”",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: ``key`` for programs, ``title`` for people, and the facts in order."""

    key: str
    title: str
    facts: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"stage": self.key, "title": self.title, "facts": self.facts}


@dataclass(frozen=True, slots=True)
class DemandExplanation:
    """The stages of one demand."""

    span: Span
    stages: tuple[Stage, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"span": list(self.span), "stages": [s.to_dict() for s in self.stages]}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The suggestion, the stages of the whole ticket and those of each demand."""

    suggestion: Suggestion
    stages: tuple[Stage, ...]
    demands: tuple[DemandExplanation, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "redacted_text": self.suggestion.redacted_text,
            "stages": [s.to_dict() for s in self.stages],
            "demands": [d.to_dict() for d in self.demands],
            "suggestion": self.suggestion.to_dict(),
        }


def explain(dispatcher: Dispatcher, ticket: str | Ticket) -> Explanation:
    """Explain the suggestion for one ticket.

    Parameters
    ----------
    dispatcher
        The loaded bundle.
    ticket
        The citizen's words, or a whole ticket.

    Raises
    ------
    UsageError
        As :meth:`Dispatcher.suggest` does.
    """
    return _Explainer(dispatcher, ticket if isinstance(ticket, Ticket) else Ticket(ticket)).run()


class _Explainer:
    """Walks the stages of one ticket; a friend of the dispatcher, whose steps it repeats."""

    def __init__(self, dispatcher: Dispatcher, ticket: Ticket) -> None:
        self.dispatcher = dispatcher
        self.suggestion = dispatcher.suggest(ticket)
        self.draft: _Draft = dispatcher._prepare([ticket])[0]
        found = dispatcher._segments([self.draft])
        self.segments: list[_Segment] = dispatcher._with_evidence([self.draft], found)[0]
        self.matter_gate = (
            dispatcher._gate_by_matter(self.draft, self.segments)
            if self.draft.gate.kind == Gate.NONE
            else None
        )
        if self.matter_gate is not None:
            self.draft = replace(self.draft, gate=self.matter_gate)
        self.located: LocatedText = dispatcher.locator.locate(self.draft.norm.text, ticket.address)
        # Same length as the normalised text, so its spans may be shown.
        self.shown = redact(self.draft.norm.text)

    def run(self) -> Explanation:
        alone = len(self.segments) == 1
        parts = [_Part(self.draft, segment, self.located, alone) for segment in self.segments]
        all_seen = self.dispatcher._see(parts)
        demands = []
        for segment, demand, seen in zip(
            self.segments, self.suggestion.demands, all_seen, strict=True
        ):
            demands.append(self._demand(segment, demand, seen, alone=alone))
        return Explanation(
            self.suggestion,
            (self._normalised(), self._redacted(), self._gate(), self._split()),
            tuple(demands),
        )

    def words(self, spans: Iterable[Span], shift: int = 0) -> list[str]:
        """Return the redacted words at spans of the normalised text."""
        return [self.shown[a + shift : b + shift] for a, b in spans]

    # --- the ticket -----------------------------------------------------------------------------

    def _normalised(self) -> Stage:
        original, text = self.suggestion.redacted_text, self.shown
        changes: list[dict[str, str]] = []
        if self.draft.norm.offsets is not None or len(original) != len(text) or original != text:
            changes = _changes(original, normalise(original).text)
        facts: dict[str, Any] = {
            "original_length": len(original),
            "length": len(text),
            "text": text,
            "changes": changes[:_MOST_CHANGES],
        }
        if len(changes) > _MOST_CHANGES:
            facts["more_changes"] = len(changes) - _MOST_CHANGES
        return Stage("normalise", "规范文字", facts)

    def _redacted(self) -> Stage:
        kinds = Counter(_PERSONAL[p.kind] for p in find_personal_data(self.draft.norm.original))
        return Stage("redact", "遮盖个人信息", {"kinds": dict(kinds)})

    def _gate(self) -> Stage:
        book = self.dispatcher.knowledge.gates
        text = self.draft.norm.text
        scores = self._scores()
        trials = []
        doubted = any(s["gate"] == Gate.EMERGENCY and s["probability"] < s["floor"] for s in scores)
        for trial in book.trials(text):
            if trial.failed is not None:
                why = "不报：" + _FIELDS[trial.failed].format(trial.by)
            elif doubted and trial.gate.needs_scorer:
                why = "不报：整段话不像正在发生（评分低于下限）"
            else:
                why = "成立"
            trials.append(
                {
                    "gate": trial.gate.id,
                    "kind": trial.gate.kind,
                    "word": self.words([trial.span])[0],
                    "result": why,
                }
            )
        gate = self.draft.gate
        facts: dict[str, Any] = {"kind": gate.kind, "tried": trials, "scores": scores}
        if gate.kind != Gate.NONE:
            facts["article"] = gate.article
            facts["advice"] = gate.advice
            score = next((s for s in scores if s["gate"] == gate.kind), None)
            if self.matter_gate is not None:
                facts["because"] = (
                    f"文中没有说明，但类目本身属此情形，且把握在 {_GATE_BY_LEAF:.0%} 以上"
                )
            elif score is not None and not any(
                t["result"] == "成立" and t["kind"] == gate.kind for t in trials
            ):
                facts["because"] = (
                    f"整段话像“{Gate(gate.kind).label}”的情形（{score['probability']:.0%}，"
                    f"不低于 {score['threshold']:.0%}），依据：{'、'.join(score['words'])}"
                )
        facts["sensitive"] = list(self.draft.tags)
        return Stage("gates", "分流（《条例》第十一条第三款）", facts)

    def _scores(self) -> list[dict[str, Any]]:
        """Return what the scorer says of the ticket for each gate; nothing without a scorer."""
        scorer = self.dispatcher.gate_scorer
        if scorer is None:
            return []
        text = self.draft.norm.text
        book = self.dispatcher.knowledge.gates
        found = scorer.score([text])
        scores = []
        for gate, probability, threshold in zip(
            scorer.gates, found.probabilities[0].tolist(), scorer.thresholds, strict=True
        ):
            span = found.stretch(0, gate)
            part = text[slice(*span)]
            score = {
                "gate": gate,
                "probability": round(probability, 4),
                "threshold": round(float(threshold), 4),
                "words": self.words(scorer.evidence(text, span, gate)),
                "result": "把握不够",
            }
            if probability >= threshold:
                kind = scorer.line(part) if gate == Gate.EMERGENCY else gate
                advice = book.advice_for(kind, part)
                word = advice.called_off(part) if advice is not None else None
                score["result"] = "成立" if word is None else f"不报：文中有“{word}”"
            if gate == Gate.EMERGENCY:
                score["floor"] = round(scorer.floor, 4)
                score["line"] = scorer.line(part)
            scores.append(score)
        return scores

    def _split(self) -> Stage:
        parts = [{"span": list(s.span), "text": self.words([s.span])[0]} for s in self.segments]
        facts = {"stretches": len(self.draft.spans), "demands": len(parts), "parts": parts}
        return Stage("split", "拆分诉求", facts)

    # --- one demand -----------------------------------------------------------------------------

    def _demand(
        self, segment: _Segment, demand: Demand, seen: _Seen, *, alone: bool
    ) -> DemandExplanation:
        shift = 0 if alone else segment.span[0]
        leaf = self.dispatcher.catalogue.codes[segment.prediction.leaves[0]]
        case = replace(seen.case, leaf=leaf)
        return DemandExplanation(
            demand.span,
            (
                self._classify(segment, demand, case.text, shift),
                self._locate(demand, segment, seen.place, alone=alone),
                self._look(seen, shift),
                self._rules(case),
                self._unit(case, demand),
                self._deadline(case, demand),
                self._confidence(case, segment, demand),
                Stage("questions", "可追问", {"questions": list(demand.questions)}),
            ),
        )

    def _classify(self, segment: _Segment, demand: Demand, text: str, shift: int) -> Stage:
        d, prediction = self.dispatcher, segment.prediction
        best = prediction.leaves
        spans = d.classifier.evidence([text] * len(best), best)
        confidences = d.calibration.of(text).leaves(prediction.probabilities)
        leaves = [
            {
                "code": d.catalogue.codes[leaf],
                "path": list(d.catalogue.path(d.catalogue.codes[leaf])),
                "raw": round(probability, 4),
                "calibrated": round(confidence, 4),
                "evidence": self.words(own, shift),
            }
            for leaf, probability, confidence, own in zip(
                best, prediction.probabilities, confidences, spans, strict=True
            )
        ]
        facts = {
            "leaves": leaves,
            "level1": {
                "name": demand.level1.name,
                "raw": round(prediction.class_probability, 4),
                "calibrated": demand.level1.confidence,
            },
            "set": {
                "size": len(demand.category_set.codes),
                "coverage": demand.category_set.coverage,
                "codes": list(demand.category_set.codes),
            },
        }
        return Stage("classify", "判定类目", facts)

    def _locate(self, demand: Demand, segment: _Segment, found: Place, *, alone: bool) -> Stage:
        gazetteer = self.located.gazetteer
        start, end = segment.span
        sites = []
        for site in self.located.sites[:_MOST_SITES]:
            zones = [
                gazetteer.district_of(z) + (gazetteer.town_of(z) or "")
                for z in site.zones[:_MOST_ZONES]
            ]
            more = len(site.zones) - len(zones)
            sites.append(
                {
                    "words": "+".join(self.words((m.start, m.end) for m in site.mentions)),
                    "role": site.role.label,
                    "explicit": site.explicit,
                    "zones": zones + ([f"等 {len(site.zones)} 处"] if more > 0 else []),
                    "score": round(site.score, 2),
                    "here": alone or start <= site.start < end,
                }
            )
        place = demand.place
        without_address = replace(self.located, address=())
        facts = {
            "sites": sites,
            "address_used": found != without_address.place(None if alone else segment.span),
            "result": "".join(filter(None, (place.district, place.town, place.community))) or None,
            "status": place.status,
            "kind": PlaceKind(place.kind).label,
            "confidence": place.confidence,
            "candidates": [
                f"{c.district or ''}{c.town or ''}（{c.name}）{c.confidence:.2f}"
                for c in place.candidates
            ],
        }
        return Stage("locate", "定位", facts)

    def _look(self, seen: _Seen, shift: int) -> Stage:
        found, guess = seen.elements, seen.request_type
        facts = {
            "kind": PlaceKind(seen.case.kind).label,
            "owners": [
                {"value": e.value, "word": self.words([e.span], shift)[0]} for e in found.owner
            ],
            "actors": [
                {"value": e.value, "word": self.words([e.span], shift)[0]} for e in found.actor
            ],
            "request_type": {
                "value": guess.value,
                "confidence": guess.confidence,
                "evidence": self.words(guess.evidence, shift),
            },
            "month": seen.case.month,
            "gate": seen.case.gate,
        }
        return Stage("attributes", "规则所看的要素", facts)

    def _rules(self, case: Case) -> Stage:
        tried = []
        winner = None
        for attempt in self.dispatcher.router.rules.trace(case):
            if attempt.failed is not None:
                result = "未成立：" + why_lost(attempt, case)
            elif winner is None:
                winner, result = attempt.rule, "胜出"
            else:
                result = f"也成立，但排在 {winner.id} 之后"
            tried.append(
                {
                    "rule": attempt.rule.id,
                    "direction": self._direction(attempt.rule),
                    "result": result,
                    "won": attempt.rule is winner,
                    "reason": attempt.rule.reason,
                    "where": f"{attempt.rule.file} 第 {attempt.rule.line} 行"
                    if attempt.rule.file
                    else "派单目录",
                }
            )
        expired = [
            r.id
            for r in self.dispatcher.router.rules.rules
            if r.when.covers_leaf(case.leaf) and not in_force(r.valid_from, r.valid_to)
        ]
        return Stage("rules", "逐条试规则", {"tried": tried, "not_in_force": expired})

    def _direction(self, rule: Rule) -> str:
        if not rule.unit_code:
            return rule.unit
        unit = self.dispatcher.router.units.by_code.get(rule.unit_code)
        return unit.name if unit else rule.unit_code

    def _unit(self, case: Case, demand: Demand) -> Stage:
        router = self.dispatcher.router
        rule = router.rules.first(case)
        unit = router.units.by_code.get(demand.unit.code or "")
        place = "".join(filter(None, (case.district, case.town))) or "（地点不明）"
        firm = None if rule.unit_code else router.units.named(rule.unit, case.text, case.district)
        if rule.unit_code:
            how = "规则直接指定该单位"
        elif unit is None:
            how = f"{rule.unit}按地点确定，{place}，须向来电人核实"
        elif firm is not None:
            how = f"文中写明{firm.short}"
        elif unit.unit_class != rule.unit:
            how = f"{place}没有确定的{rule.unit}，由区政府协调"
        elif unit.level == "city":
            how = f"{rule.unit}在{place}由市级单位办理"
        else:
            how = f"{rule.unit} + {place} → {unit.name}"
        facts = {
            "class": rule.unit or (unit.unit_class if unit else ""),
            "how": how,
            "unit": demand.unit.name,
            "code": demand.unit.code,
            "reason": demand.unit.reason,
            "co_units": [u.name for u in demand.co_units],
            "cc": [u.name for u in demand.cc],
            "alternatives": [f"{u.name}（{u.rule}）" for u in demand.alternatives],
        }
        return Stage("unit", "落到单位", facts)

    def _deadline(self, case: Case, demand: Demand) -> Stage:
        router = self.dispatcher.router
        rule = router.rules.first(case)
        leaf = router.catalogue.by_code[case.leaf]
        tier = rule.limit or leaf.limit
        winner = router.rules.deadlines.winner(case, tier)
        tried = []
        for other in router.rules.deadlines.rules:
            if not other.when.covers_leaf(case.leaf):
                continue
            failed = other.when.failure(case)
            if other is winner:
                result = "生效"
            elif failed is not None:
                result = "未成立：" + why_lost(
                    Attempt(Rule(other.id, other.when, ""), failed), case
                )
            else:
                result = "成立，但不改变时限或排在后面"
            tried.append({"rule": other.id, "result": result})
        facts = {
            "catalogue": Tier(leaf.limit).label,
            "rule": Tier(rule.limit).label if rule.limit and rule.file else None,
            "tried": tried,
            "result": Tier(demand.deadline.tier).label,
            "basis": demand.deadline.basis,
        }
        return Stage("deadline", "定时限", facts)

    def _confidence(self, case: Case, segment: _Segment, demand: Demand) -> Stage:
        d, prediction = self.dispatcher, segment.prediction
        best = d.router.lead(case)
        weighed = []
        mass = 0.0
        pairs = list(zip(prediction.leaves, prediction.probabilities, strict=True))
        for i, (leaf, probability) in enumerate(pairs[:ROUTED_LEAVES]):
            if i and probability < _LEAST_ROUTED:
                break
            code = d.catalogue.codes[leaf]
            lead = d.router.lead(replace(case, leaf=code))
            agrees = lead.name == best.name
            mass += probability if agrees else 0.0
            weighed.append(
                {
                    "code": code,
                    "probability": round(probability, 4),
                    "unit": lead.name,
                    "agrees": agrees,
                }
            )
        factor = _place_factor(best, demand.place)
        raw = mass * factor
        calibration = d.calibration.of(case.text)
        facts = {
            "leaves": weighed,
            "mass": round(mass, 4),
            "place_factor": round(factor, 4),
            "raw": round(raw, 4),
            "calibrated": round(calibration.unit(raw), 4),
            "arithmetic": (
                f"同派该单位的类目概率之和 {mass:.3f} × 地点可信度 {factor:.3f} = {raw:.3f}，"
                f"校准后 {calibration.unit(raw):.3f}"
            ),
            "auto_at": calibration.auto_at,
            "suggest_at": calibration.suggest_at,
            "complete": best.code is not None,
            "decision": demand.decision,
        }
        return Stage("confidence", "把握与结论", facts)


def why_lost(attempt: Attempt, case: Case) -> str:
    """Say in Chinese which part of a condition did not hold and what was seen instead."""
    part = attempt.failed or ""
    wanted = getattr(attempt.rule.when, part)
    some = "、".join(str(v) for v in wanted[:_WORDS_SHOWN])
    some += "…" if len(wanted) > _WORDS_SHOWN else ""
    if part == "kind":
        kinds = "、".join(PlaceKind(v).label for v in wanted)
        return f"场所须为{kinds}，实为{PlaceKind(case.kind).label}"
    if part in ("owner", "actor"):
        label, seen = ("权属", case.owners) if part == "owner" else ("主体", case.actors)
        return f"{label}须为{some}，文中{'为' + '、'.join(sorted(seen)) if seen else '未见'}"
    if part == "words":
        return f"文中没有“{some}”"
    if part == "and_words":
        return f"文中没有同时出现“{some}”"
    if part == "not_words":
        return f"文中有“{next(w for w in wanted if w in case.text)}”"
    if part == "gate":
        kinds = "、".join(Gate(v).label for v in wanted)
        return f"分流须为{kinds}，实为{Gate(case.gate).label}"
    value: Any = {
        "type": case.request_type,
        "district": case.district,
        "town": case.town,
        "month": case.month,
    }[part]
    label = {
        "type": "诉求类型",
        "district": "区",
        "town": "街道乡镇",
        "month": "月份",
    }[part]
    return f"{label}须为{some}，实为{value if value is not None else '未知'}"


def _changes(before: str, after: str) -> list[dict[str, str]]:
    """Return what normalisation replaced, in order; nothing for very long texts."""
    if max(len(before), len(after)) > _LONGEST_COMPARED:
        return []
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [
        {"from": before[a:b], "to": after[c:d]}
        for tag, a, b, c, d in matcher.get_opcodes()
        if tag != "equal"
    ]
