"""The way of one ticket: normalise, redact, gates, split, classify, locate, route, confidence.

``Dispatcher`` owns the loaded bundle and runs the stages in order. It holds no state between
tickets and may be shared by threads.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from jiesu_nlp.bundle import Bundle, Registry, open_bundle
from jiesu_nlp.classify.loading import classifier_of
from jiesu_nlp.classify.predictor import LeafPredictor, Prediction
from jiesu_nlp.confidence import Calibration
from jiesu_nlp.errors import BundleError
from jiesu_nlp.garbage import kept_for_good, no_collection
from jiesu_nlp.gate_scorer import GateScorer, gates_of
from jiesu_nlp.home import models_dir, taxonomy_dir
from jiesu_nlp.knowledge import Knowledge, knowledge_of
from jiesu_nlp.locate.locator import LocatedText, Locator
from jiesu_nlp.parallel import suggest_parallel
from jiesu_nlp.questions import open_points, questions_for
from jiesu_nlp.route.router import Router, Routing
from jiesu_nlp.route.rules import Case
from jiesu_nlp.suggestion import (
    Category,
    CategorySet,
    Demand,
    Element,
    Elements,
    Flags,
    GateAdvice,
    LevelOne,
    Place,
    RequestTypeGuess,
    Span,
    Suggestion,
    Unit,
    Versions,
)
from jiesu_nlp.text.elements import find_elements
from jiesu_nlp.text.normalise import NormalisedText, normalise
from jiesu_nlp.text.redact import find_personal_data, redact
from jiesu_nlp.text.request_type import classify_request_type
from jiesu_nlp.text.split import split_demands
from jiesu_nlp.ticket import Ticket, check_text, ticket_of
from jiesu_nlp.vocabulary import Gate

DEFAULT_BUNDLE = "default"
CALIBRATION_FILE = "calibration.json"
TOP_K = 5
# Tickets of a batch whose scores are in memory at the same time: each has one per leaf.
_CLASSIFIED_TOGETHER = 256
# Candidate leaves whose routes are weighed for the confidence of the unit.
ROUTED_LEAVES = 5
_LEAST_ROUTED = 0.02
# Probability of the best leaf from which its nature alone raises a gate.
_GATE_BY_LEAF = 0.35
Progress = Callable[[str, float], None]


# What one ticket passes through is not frozen: making it would cost four times as much.
@dataclass(slots=True)
class _Segment:
    """A candidate demand: its span in the normalised text and its prediction.

    ``evidence`` are the spans, within its own, of the words that spoke for the best leaf.
    """

    span: Span
    prediction: Prediction
    evidence: tuple[Span, ...] = ()


@dataclass(slots=True)
class _Draft:
    """A ticket on its way: what is known before classification."""

    ticket: Ticket
    norm: NormalisedText
    redacted: str
    gate: GateAdvice
    tags: tuple[str, ...]
    spans: tuple[Span, ...]
    started: float


@dataclass(slots=True)
class _Part:
    """One demand of a ticket on its way; ``alone`` if the ticket has no other."""

    draft: _Draft
    segment: _Segment
    located: LocatedText
    alone: bool

    @property
    def text(self) -> str:
        """The words of the demand."""
        text = self.draft.norm.text
        return text if self.alone else text[slice(*self.segment.span)]


@dataclass(slots=True)
class _Seen:
    """What the rules look at in one demand (``case`` without its leaf), with the evidence."""

    case: Case
    place: Place
    elements: Elements
    request_type: RequestTypeGuess


class Dispatcher:
    """A loaded bundle that answers tickets.

    Making one limits BLAS to one thread in this process; use ``suggest_many(workers=…)`` for more.

    Examples
    --------
    >>> from jiesu_nlp import Dispatcher
    >>> dispatcher = Dispatcher.load()  # doctest: +SKIP
    >>> dispatcher.suggest("望京西园四区门口烧烤摊油烟味太大").to_dict()  # doctest: +SKIP
    """

    def __init__(
        self,
        knowledge: Knowledge,
        classifier: LeafPredictor,
        calibration: Calibration,
        versions: Mapping[str, str],
        gate_scorer: GateScorer | None = None,
    ) -> None:
        # The matrices of one batch are small: a second BLAS thread gains nothing on idle cores and,
        # waiting for its turn on busy ones, makes a ticket ten times slower.
        threadpool_limits(limits=1, user_api="blas")
        self.knowledge = knowledge
        self.catalogue = knowledge.catalogue
        self.classifier = classifier
        self.calibration = calibration
        self.gate_scorer = gate_scorer
        self.locator = Locator(knowledge.places)
        self.router = Router(knowledge.catalogue, knowledge.rules, knowledge.units)
        self.versions = Versions(
            model=versions["model"],
            catalogue=versions["catalogue"],
            rules=versions["rules"],
            places=versions["places"],
        )
        self._paths = [self.catalogue.path(code) for code in self.catalogue.codes]

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Dispatcher:
        """Load everything a bundle holds.

        Raises
        ------
        BundleError
            Naming the file that is missing, truncated or altered.
        """
        with kept_for_good():
            return cls(
                knowledge=knowledge_of(bundle),
                classifier=classifier_of(bundle),
                calibration=Calibration.from_json(bundle.read_json(CALIBRATION_FILE)),
                versions=bundle.versions,
                gate_scorer=GateScorer.from_bundle(bundle),
            )

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, progress: Progress | None = None
    ) -> Dispatcher:
        """Load a bundle: the given folder, else the active one, else the default.

        If there is no bundle at all, the default one is built from the taxonomy first (about a
        minute); ``progress`` is then called with a stage and the share done.

        Raises
        ------
        BundleError
            If the bundle is missing or damaged.
        """
        if path is not None:
            return cls.from_bundle(open_bundle(Path(path)))
        registry = Registry(models_dir())
        name = registry.active()
        if name is None:
            name = DEFAULT_BUNDLE
            if name not in registry.names():
                build_default(progress=progress)
        return cls.from_bundle(open_bundle(registry.path(name)))

    def suggest(self, text: str | Ticket, **fields: str | None) -> Suggestion:
        """Return the suggestion for one ticket.

        Parameters
        ----------
        text
            The citizen's words, or a whole :class:`~jiesu_nlp.ticket.Ticket`.
        **fields
            ``id, channel, created_at, requester, address`` when ``text`` is a string.

        Raises
        ------
        UsageError
            If the text is blank, longer than 100,000 characters or binary.
        """
        ticket = text if isinstance(text, Ticket) else Ticket(text=text, **fields)
        return self._answer(self._prepare([ticket]))[0]

    def suggest_many(
        self,
        tickets: Iterable[str | Ticket | Mapping[str, Any]],
        *,
        batch_size: int = 256,
        evidence: bool = True,
        workers: int = 1,
    ) -> Iterator[Suggestion]:
        """Yield one suggestion per ticket, in order; the fast path.

        Parameters
        ----------
        tickets
            Texts, tickets or JSON objects with a ``text``.
        batch_size
            So many texts are answered together; some more are faster, and wait longer.
        evidence
            ``False`` leaves out the words that decided the category, for bulk work that does not
            show them.
        workers
            More than one answers with that many processes (where the system can fork).

        Raises
        ------
        UsageError
            At a ticket that is none; the suggestions of the batches before it have been yielded.
        """
        source = map(_as_ticket, tickets)
        if workers > 1:
            yield from suggest_parallel(
                self, source, workers=workers, batch_size=batch_size, evidence=evidence
            )
            return
        while batch := list(islice(source, batch_size)):
            with no_collection():
                answers = self._answer(self._prepare(batch), evidence=evidence)
            yield from answers

    def _prepare(self, tickets: Sequence[Ticket]) -> list[_Draft]:
        started = time.perf_counter()
        for ticket in tickets:
            check_text(ticket.text)
        norms = [normalise(ticket.text) for ticket in tickets]
        gates = gates_of([norm.text for norm in norms], self.knowledge.gates, self.gate_scorer)
        masked = [redact(n.original, find_personal_data(n.original, n)) for n in norms]
        spans = [split_demands(norm.text) for norm in norms]
        return [
            _Draft(ticket, norm, redacted, gate, tags, own, started)
            for ticket, norm, redacted, (gate, tags), own in zip(
                tickets, norms, masked, gates, spans, strict=True
            )
        ]

    def _answer(self, drafts: Sequence[_Draft], *, evidence: bool = True) -> list[Suggestion]:
        found = [
            segments
            for start in range(0, len(drafts), _CLASSIFIED_TOGETHER)
            for segments in self._segments(drafts[start : start + _CLASSIFIED_TOGETHER])
        ]
        if evidence:
            found = self._with_evidence(drafts, found)
        return self._assemble(drafts, found)

    def _segments(self, drafts: Sequence[_Draft]) -> list[list[_Segment]]:
        """Classify the stretches of every ticket; neighbours of one matter become one demand."""
        pieces = [d.norm.text[a:b] for d in drafts for a, b in d.spans]
        predictions = iter(self.classifier.predict(pieces, k=TOP_K))
        merged = [_merge([_Segment(span, next(predictions)) for span in d.spans]) for d in drafts]
        # Merged neighbours are one demand; ask the classifier about the whole of it.
        again = [
            d.norm.text[a:b]
            for d, spans in zip(drafts, merged, strict=True)
            for (a, b), prediction in spans
            if prediction is None
        ]
        renewed = iter(self.classifier.predict(again, k=TOP_K) if again else ())
        return [
            [_Segment(span, p if p is not None else next(renewed)) for span, p in spans]
            for spans in merged
        ]

    def _with_evidence(
        self, drafts: Sequence[_Draft], found: Sequence[Sequence[_Segment]]
    ) -> list[list[_Segment]]:
        """Add to every demand of a batch the words that decided its category."""
        texts = [
            draft.norm.text[segment.span[0] : segment.span[1]]
            for draft, segments in zip(drafts, found, strict=True)
            for segment in segments
        ]
        leaves = [s.prediction.leaves[0] for segments in found for s in segments]
        spans = iter(self.classifier.evidence(texts, leaves))
        return [[_Segment(s.span, s.prediction, next(spans)) for s in own] for own in found]

    def _assemble(
        self, drafts: Sequence[_Draft], found: Sequence[Sequence[_Segment]]
    ) -> list[Suggestion]:
        """Make the suggestions of a batch.

        Every stage goes through the whole batch before the next begins: the words and tables of a
        stage then stay in the processor's cache.
        """
        for draft, segments in zip(drafts, found, strict=True):
            if draft.gate.kind == Gate.NONE:
                draft.gate = self._gate_by_matter(draft, segments)
        located = [self.locator.locate(d.norm.text, d.ticket.address) for d in drafts]
        parts = [
            _Part(draft, segment, places, alone=len(segments) == 1)
            for draft, segments, places in zip(drafts, found, located, strict=True)
            for segment in segments
        ]
        seen = self._see(parts)
        routed = [
            self._route(s.case, p.segment.prediction) for p, s in zip(parts, seen, strict=True)
        ]
        demands = iter(
            [self._demand(p, s, *r) for p, s, r in zip(parts, seen, routed, strict=True)]
        )
        return [
            self._suggestion(draft, tuple(islice(demands, len(segments))))
            for draft, segments in zip(drafts, found, strict=True)
        ]

    def _suggestion(self, draft: _Draft, demands: tuple[Demand, ...]) -> Suggestion:
        gate = draft.gate
        if gate.evidence:
            gate = replace(gate, evidence=_map_spans(draft.norm, gate.evidence))
        return Suggestion(
            id=draft.ticket.id,
            gate=gate,
            demands=demands,
            flags=Flags(
                repeat=draft.gate.kind == Gate.REPEAT,
                enterprise=_is_enterprise(draft),
                sensitive=draft.tags,
            ),
            redacted_text=draft.redacted,
            versions=self.versions,
            elapsed_ms=round((time.perf_counter() - draft.started) * 1000, 3),
        )

    def _gate_by_matter(self, draft: _Draft, segments: Sequence[_Segment]) -> GateAdvice:
        """Raise the gate that a sure leaf stands for (电梯困人求救) where no word raised one."""
        for segment in segments:
            leaf = segment.prediction.leaves[0]
            if segment.prediction.probabilities[0] < _GATE_BY_LEAF:
                continue
            start, end = segment.span
            text = draft.norm.text[start:end]
            gate = self.knowledge.gates.of_leaf(self.catalogue.codes[leaf], text)
            if gate.kind != Gate.NONE:
                spans = [(a + start, b + start) for a, b in segment.evidence]
                return replace(gate, evidence=tuple(spans) or (segment.span,))
        return draft.gate

    def _see(self, parts: Sequence[_Part]) -> list[_Seen]:
        """Find out of demands all that the rules look at, except the leaf."""
        texts = [p.text for p in parts]
        places = [p.located.place(None if p.alone else p.segment.span) for p in parts]
        elements = [find_elements(text) for text in texts]
        seen = []
        for part, text, place, found in zip(parts, texts, places, elements, strict=True):
            gate = part.draft.gate
            start, end = part.segment.span
            # In a ticket of several matters only the one that the gate speaks of is an emergency.
            concerned = part.alone or any(start <= a < end for a, _ in gate.evidence)
            raised = gate.kind if concerned else Gate.NONE.value
            request_type = classify_request_type(text, emergency=raised == Gate.EMERGENCY)
            case = Case(
                leaf="",
                text=text,
                kind=place.kind,
                owners=frozenset([e.value for e in found.owner]),
                actors=frozenset([e.value for e in found.actor]),
                request_type=request_type.value,
                district=place.district,
                town=place.town,
                month=part.draft.ticket.month,
                gate=raised,
            )
            seen.append(_Seen(case, place, found, request_type))
        return seen

    def _demand(self, part: _Part, seen: _Seen, routing: Routing, mass: float) -> Demand:
        norm, segment = part.draft.norm, part.segment
        start, end = segment.span
        place, found = seen.place, seen.elements
        request_type = seen.request_type
        prediction = segment.prediction
        calibration = self.calibration.of(seen.case.text)
        confidence = calibration.unit(mass * _place_factor(routing.lead, place))
        shift = 0 if part.alone else start
        points = open_points(place, routing.lead, request_type.value)
        questions = questions_for(
            self.catalogue, prediction, place, routing.lead, confidence=confidence, points=points
        )
        return Demand(
            span=norm.original_span(start, end),
            categories=self._categories(norm, shift, segment, calibration),
            category_set=CategorySet(
                tuple([self.catalogue.codes[row] for row in prediction.leaf_set]),
                self.classifier.set_rule.coverage,
            ),
            level1=self._level1(prediction, calibration),
            place=_map_place(norm, place),
            unit=_confident(routing.lead, confidence),
            co_units=routing.co_units,
            cc=routing.cc,
            alternatives=routing.alternatives,
            request_type=_map_request_type(norm, request_type, shift),
            deadline=routing.deadline,
            elements=_map_elements(norm, found, shift),
            confidence=round(confidence, 4),
            decision=calibration.decide(
                confidence,
                complete=routing.lead.code is not None,
                # What a gate advises is for the operator to do before anything is dispatched.
                settled=not points and seen.case.gate == Gate.NONE,
            ),
            questions=questions,
        )

    def _route(self, case: Case, prediction: Prediction) -> tuple[Routing, float]:
        """Route the best leaf; weigh how much of the other leaves' mass agrees on the unit."""
        codes = self.catalogue.codes
        best = self.router.route(case.of_leaf(codes[prediction.leaves[0]]))
        agreed = prediction.probabilities[0]
        rest = zip(
            prediction.leaves[1:ROUTED_LEAVES],
            prediction.probabilities[1:ROUTED_LEAVES],
            strict=True,
        )
        for leaf, probability in rest:
            if probability < _LEAST_ROUTED:
                break
            if self.router.lead(case.of_leaf(codes[leaf])).name == best.lead.name:
                agreed += probability
        return best, agreed

    def _categories(
        self, norm: NormalisedText, shift: int, segment: _Segment, calibration: Calibration
    ) -> tuple[Category, ...]:
        prediction = segment.prediction
        spans = _map_spans(norm, segment.evidence, shift)
        confidences = calibration.leaves(prediction.probabilities)
        codes, paths = self.catalogue.codes, self._paths
        return tuple(
            [
                Category(codes[leaf], paths[leaf], round(confidence, 4), spans if i == 0 else ())
                for i, (leaf, confidence) in enumerate(
                    zip(prediction.leaves, confidences, strict=True)
                )
            ]
        )

    def _level1(self, prediction: Prediction, calibration: Calibration) -> LevelOne:
        level_one = self.catalogue.classes[prediction.class_row]
        return LevelOne(
            level_one.code,
            level_one.name,
            round(calibration.level1(prediction.class_probability), 4),
        )


def build_default(*, progress: Progress | None = None) -> Bundle:
    """Build the default bundle with the installed builder (entry point ``jiesu.builders``).

    Raises
    ------
    BundleError
        If no builder is installed.
    """
    builders = entry_points(group="jiesu.builders", name=DEFAULT_BUNDLE)
    if not builders:
        raise BundleError(
            "没有模型包，也没有安装训练部件，无法现场构建；请安装完整的 jiesu-nlp 或放入一个模型包"
        )
    build = next(iter(builders)).load()
    bundle: Bundle = build(
        models_dir() / DEFAULT_BUNDLE, taxonomy_dir(), progress or (lambda stage, done: None)
    )
    return bundle


def _as_ticket(item: str | Ticket | Mapping[str, Any]) -> Ticket:
    if isinstance(item, Ticket):
        return item
    return Ticket(text=item) if isinstance(item, str) else ticket_of(item)


# A split is kept only where both sides are at least this sure of their level-1 class.
_SURE = 0.5
# … and neither side's best leaf is among so many of the other's.
_AKIN = 3


def _merge(segments: Sequence[_Segment]) -> list[tuple[Span, Prediction | None]]:
    """Join neighbours that are not surely two matters; ``None`` marks spans to classify anew."""
    merged: list[tuple[Span, Prediction | None]] = [(segments[0].span, segments[0].prediction)]
    last = segments[0].prediction
    for segment in segments[1:]:
        p = segment.prediction
        akin = p.leaves[0] in last.leaves[:_AKIN] or last.leaves[0] in p.leaves[:_AKIN]
        unsure = min(p.class_probability, last.class_probability) < _SURE
        if akin or unsure:
            (start, _), _ = merged[-1]
            merged[-1] = ((start, segment.span[1]), None)
            if p.probabilities[0] > last.probabilities[0]:
                last = p
        else:
            merged.append((segment.span, p))
            last = p
    return merged


def _confident(lead: Unit, confidence: float) -> Unit:
    """Return a unit with its confidence (``dataclasses.replace`` costs three times that)."""
    return Unit(
        lead.code,
        lead.name,
        lead.unit_class,
        round(confidence, 4),
        lead.rule,
        lead.reason,
    )


def _place_factor(lead: Unit, place: Place) -> float:
    """Return the confidence of the place where the unit depends on it."""
    return place.confidence if place.district is not None and lead.code is not None else 1.0


_ENTERPRISE = re.compile("我(?:公司|司|厂|们公司|们企业)|本公司")


def _is_enterprise(draft: _Draft) -> bool:
    in_channel = "企业" in (draft.ticket.channel or "")
    return in_channel or _ENTERPRISE.search(draft.norm.text) is not None


def _map_spans(norm: NormalisedText, spans: Iterable[Span], shift: int = 0) -> tuple[Span, ...]:
    if norm.offsets is None and not shift:
        return tuple(spans)
    return tuple(norm.original_span(a + shift, b + shift) for a, b in spans)


def _map_request_type(
    norm: NormalisedText, guess: RequestTypeGuess, shift: int
) -> RequestTypeGuess:
    if norm.offsets is None and not shift:
        return guess
    spans = _map_spans(norm, guess.evidence, shift)
    return RequestTypeGuess(guess.value, guess.confidence, spans)


def _map_place(norm: NormalisedText, place: Place) -> Place:
    if norm.offsets is None or not place.evidence:
        return place
    return replace(place, evidence=_map_spans(norm, place.evidence))


def _map_elements(norm: NormalisedText, found: Elements, shift: int) -> Elements:
    if norm.offsets is None and not shift:
        return found

    def moved(elements: Iterable[Element]) -> tuple[Element, ...]:
        return tuple(
            Element(e.value, norm.original_span(e.span[0] + shift, e.span[1] + shift))
            for e in elements
        )

    return Elements(moved(found.time), moved(found.owner), moved(found.actor))
