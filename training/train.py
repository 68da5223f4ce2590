"""Labelled tickets → a bundle, in one go: read, split by time, fit, calibrate, judge, write.

The bundle appears complete at the very end or not at all, so a run may be interrupted anywhere.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from jiesu_nlp.bundle import Bundle, json_bytes, refuse_foreign, write_bundle
from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.classifier import Classifier
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.classify.predictor import LeafPredictor
from jiesu_nlp.confidence import Calibration
from jiesu_nlp.dispatcher import CALIBRATION_FILE, Dispatcher
from jiesu_nlp.errors import DataError
from jiesu_nlp.home import taxonomy_dir
from jiesu_nlp.knowledge import Knowledge
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.text.redact import redact
from training.calibration import (
    AUTO_PRECISION,
    SUGGEST_PRECISION,
    TICKET_COVERAGE,
    calibrate,
    prepared_texts,
    unseen_tickets,
    unseen_tickets_and_says,
    with_temperature,
)
from training.cold_start import unit_mass
from training.evaluate import Evaluation, evaluate
from training.gate_scorer import fit_gate_scorer
from training.labels import UNKNOWN, LabelBook
from training.low_rank import Recipe, fit, recipe_for
from training.model_card import model_card
from training.raw_rows import data_files
from training.reservoir import Reservoir
from training.run_record import (
    CARD_FILE,
    EVALUATION_FILE,
    RECORD_FILE,
    SEEN_FILE,
    code_version,
    file_hash,
    machine,
    peak_memory_mb,
    seen_bytes,
)
from training.split import Split, split_tickets
from training.taxonomies import knowledge_for
from training.texts import catalogue_texts, class_rows
from training.tickets import LabelledTicket, Rejected, read_tickets

Progress = Callable[[str, float], None]

# With fewer unseen tickets than this the catalogue's held-out says take part in the calibration.
_ENOUGH_TO_CALIBRATE = 300
_LEAST_TO_CALIBRATE = 30
_MOST_TO_CALIBRATE = 20_000
_MOST_TO_EVALUATE = 20_000
_MOST_FOR_TEMPERATURE = 4_000
_LEAST_TICKETS = 20
_SHOWN_REASONS = 6
_WATCHED = 20


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What ``jiesu train`` can be told.

    Attributes
    ----------
    taxonomy
        See :func:`training.taxonomies.knowledge_for`.
    calibrate, test
        Shares of the tickets, the latest ones, kept from training.
    says_weight
        How much one line of the catalogue counts beside a ticket of weight one.
    most_tickets
        More are sampled down, seeded, to bound memory.
    most_rejected
        A greater share of unusable rows stops the run.
    coverage
        Share of tickets whose conformal set holds a right leaf.
    auto_precision, suggest_precision
        Precision of the lead unit above the thresholds of *auto* and *suggest*.
    seed
        Of the split, the sample and the fit.
    recipe
        Hyper-parameters; chosen by the size of the catalogue if ``None``.
    checkpoint
        Hugging Face encoder folder; given, an encoder is trained instead of the fast classifier.
    encoder
        Fields of :class:`training.encoder.options.EncoderOptions` that differ from its defaults.
    """

    taxonomy: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    calibrate: float = 0.1
    test: float = 0.1
    says_weight: float = 1.0
    most_tickets: int = 1_000_000
    most_rejected: float = 0.2
    coverage: float = TICKET_COVERAGE
    auto_precision: float = AUTO_PRECISION
    suggest_precision: float = SUGGEST_PRECISION
    seed: int = 0
    recipe: Recipe | None = None
    checkpoint: Path | None = None
    encoder: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A finished run: the bundle, its figures on the test part, and its record."""

    bundle: Bundle
    evaluation: Evaluation | None
    record: dict[str, Any]


@dataclass(frozen=True)
class Gathered:
    """Usable tickets of the data, all or a sample, and what became of the other rows."""

    tickets: list[LabelledTicket]
    rows: int
    usable: int
    rejected: Counter[str]
    examples: dict[str, str]
    retired: Counter[str]


def gather_tickets(
    items: Iterable[LabelledTicket | Rejected], labels: LabelBook, *, most: int, seed: int
) -> Gathered:
    """Collect tickets, at most ``most`` of them (a uniform sample, in order)."""
    kept = Reservoir[LabelledTicket](most, seed)
    rejected: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for item in items:
        if isinstance(item, Rejected):
            rejected[item.reason] += 1
            examples.setdefault(item.reason, f"{item.where}：{redact(item.detail)}")
        else:
            kept.add(item)
    rows = kept.seen + rejected.total()
    return Gathered(kept.items(), rows, kept.seen, rejected, examples, labels.retired)


def check_gathered(found: Gathered, options: TrainOptions) -> None:
    """Refuse data that cannot teach.

    Raises
    ------
    DataError
        If too many rows are unusable, there are too few tickets, or all have one label.
    """
    bad = found.rejected.total()
    reasons = "；".join(
        f"{reason} {n} 行（如 {found.examples[reason]}）"
        for reason, n in found.rejected.most_common(_SHOWN_REASONS)
    )
    if found.rows and bad / found.rows > options.most_rejected:
        foreign = found.rejected[UNKNOWN] > bad / 2
        raise DataError(
            f"{found.rows} 行里有 {bad} 行不能用，超过上限 {options.most_rejected:.0%}：{reasons}",
            remedy="先用 jiesu data check 查看并改正；确认无误可用 --most-rejected 放宽"
            + ("；工单用的是别的目录就给出 --taxonomy" if foreign else ""),
        )
    if len(found.tickets) < _LEAST_TICKETS:
        raise DataError(
            f"可用的工单只有 {len(found.tickets)} 件，至少需要 {_LEAST_TICKETS} 件"
            + (f"；不能用的：{reasons}" if reasons else "")
        )
    if len({t.code for t in found.tickets}) == 1:
        raise DataError(
            f"全部 {len(found.tickets)} 件工单都标为 {found.tickets[0].code}，学不到区别",
            remedy="检查编码列是否选对（--column code=列名）",
        )


def train(
    data: Sequence[Path],
    out: Path,
    options: TrainOptions = TrainOptions(),
    progress: Progress = lambda stage, done: None,
) -> Trained:
    """Train on labelled tickets together with the catalogue's ``says`` and write a bundle.

    Parameters
    ----------
    data
        Files or folders, see :mod:`training.tickets`.
    out
        Folder of the bundle.
    progress
        Called with a stage (Chinese) and the share done, 0 to 1.

    Raises
    ------
    JiesuError
        If data or taxonomy cannot be used, or the disk refuses; then nothing is written.
    """
    started = time.perf_counter()
    out = out.resolve()
    refuse_foreign(out)
    progress("读取目录与地名", 0.0)
    knowledge = knowledge_for(options.taxonomy, taxonomy_dir(), data, columns=options.columns)
    labels = LabelBook(knowledge.catalogue)
    progress("读取工单", 0.02)
    found = gather_tickets(
        read_tickets(data, labels, columns=options.columns),
        labels,
        most=options.most_tickets,
        seed=options.seed,
    )
    check_gathered(found, options)
    recipe = options.recipe or recipe_for(len(knowledge.catalogue), len(found.tickets))
    options = replace(options, recipe=replace(recipe, seed=options.seed))
    progress("按时间划分，重复工单归组", 0.10)
    split = split_tickets(
        found.tickets,
        calibrate=options.calibrate,
        test=options.test,
        seed=options.seed,
        report=lambda done: progress("按时间划分，重复工单归组", 0.10 + 0.05 * done),
    )
    parts = {
        name: [found.tickets[i] for i in getattr(split, name)]
        for name in ("train", "calibrate", "test")
    }
    work = out.with_name(f".{out.name}-encoder")
    classifier, encoder_report = _fitted(
        knowledge.catalogue, parts["train"], options, work, progress
    )
    progress("校准置信度", 0.70)
    classifier, calibration, temperature = calibrate_on_tickets(
        knowledge,
        classifier,
        parts["calibrate"],
        # The sister model that scores held-out says is a fast one.
        recipe=None if options.checkpoint is not None else options.recipe,
        coverage=options.coverage,
        auto_precision=options.auto_precision,
        suggest_precision=options.suggest_precision,
        seed=options.seed,
    )
    leaf_counts = np.bincount(
        [knowledge.catalogue.index[t.code] for t in parts["train"]],
        minlength=len(knowledge.catalogue),
    )
    now = datetime.now(UTC)
    created_at = now.isoformat(timespec="seconds")
    versions = {
        "model": f"{out.name}+{now:%Y%m%d%H%M}",
        "code": code_version(),
        **knowledge.versions(),
    }
    # A taxonomy without says has no ordinary matters to tell emergencies from.
    has_says = any(leaf.says for leaf in knowledge.catalogue.leaves)
    gate_scorer = fit_gate_scorer(knowledge) if has_says else None
    evaluation = None
    if parts["test"]:
        dispatcher = Dispatcher(knowledge, classifier, calibration, versions, gate_scorer)
        evaluation = evaluate(
            dispatcher,
            sample(parts["test"], _MOST_TO_EVALUATE, options.seed),
            leaf_counts=leaf_counts.tolist(),
            about={"bundle": out.name, "data": "留出的工单", "created_at": created_at},
            report=lambda stage, done: progress(f"评测：{stage}", 0.78 + 0.17 * done),
        )
    progress("写入模型包", 0.96)
    record = {
        "created_at": created_at,
        **_data_facts(data, found, split, leaf_counts),
        **_model_facts(options, classifier, encoder_report),
        "temperature": round(temperature, 4),
        "calibrated_on": calibration.fitted_on,
        "versions": versions,
        "machine": machine(),
        "seconds": round(time.perf_counter() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
    }
    summary = None if evaluation is None else evaluation.to_json()["overall"]
    files = {
        **classifier.to_files(),
        **(gate_scorer.to_files() if gate_scorer is not None else {}),
        **knowledge.to_files(),
        CALIBRATION_FILE: json_bytes(calibration.to_json()),
        RECORD_FILE: json_bytes(record),
        SEEN_FILE: seen_bytes(
            (
                *(t.text for t in (*parts["train"], *parts["calibrate"])),
                *(prepared_texts() if has_says else ()),
            )
        ),
        CARD_FILE: model_card(out.name, record, summary).encode(),
    }
    if evaluation is not None:
        files[EVALUATION_FILE] = json_bytes(_without_texts(evaluation))
    bundle = write_bundle(
        out,
        files,
        versions=versions,
        parameters={
            "recipe": record["architecture"],
            "tickets": len(found.tickets),
            "data": record["data_hash"][:12],
            "seed": options.seed,
        },
        created_at=created_at,
    )
    shutil.rmtree(work, ignore_errors=True)
    progress("完成", 1.0)
    return Trained(bundle, evaluation, record)


def _fitted(
    catalogue: Catalogue,
    tickets: Sequence[LabelledTicket],
    options: TrainOptions,
    work: Path,
    progress: Progress,
) -> tuple[LeafPredictor, dict[str, Any] | None]:
    """Fit the classifier asked for; of an encoder also return the report."""
    if options.checkpoint is not None:
        return fit_encoder_on_tickets(
            catalogue,
            tickets,
            options,
            options.checkpoint,
            work,
            lambda stage, done: progress(stage, 0.15 + 0.55 * done),
        )
    classifier = fit_on_tickets(
        catalogue, tickets, options, lambda done: progress("训练分类器", 0.15 + 0.55 * done)
    )
    return classifier, None


def sample(tickets: Sequence[LabelledTicket], most: int, seed: int) -> list[LabelledTicket]:
    """Return at most ``most`` tickets, drawn evenly, in order."""
    if len(tickets) <= most:
        return list(tickets)
    chosen = np.sort(np.random.default_rng(seed).choice(len(tickets), most, replace=False))
    return [tickets[i] for i in chosen]


def training_texts(
    catalogue: Catalogue, tickets: Sequence[LabelledTicket], says_weight: float
) -> tuple[list[str], Ints, Floats]:
    """Return texts, leaf rows and weights of catalogue and tickets together."""
    texts, rows = catalogue_texts(catalogue)
    weights = np.full(len(texts), says_weight, np.float32)
    texts += (normalise(t.text).text for t in tickets)
    own = np.array([catalogue.index[t.code] for t in tickets], dtype=np.int64)
    given = np.array([t.weight for t in tickets], dtype=np.float32)
    return texts, np.concatenate([rows, own]), np.concatenate([weights, given])


def fit_on_tickets(
    catalogue: Catalogue,
    tickets: Sequence[LabelledTicket],
    options: TrainOptions,
    report: Callable[[float], None] = lambda done: None,
) -> Classifier:
    """Fit the fast classifier on the catalogue's lines and the tickets."""
    texts, rows, weights = training_texts(catalogue, tickets, options.says_weight)
    return fit(
        texts,
        rows,
        class_rows(catalogue),
        weights=weights,
        recipe=options.recipe or Recipe(seed=options.seed),
        report=report,
    )


def fit_encoder_on_tickets(
    catalogue: Catalogue,
    tickets: Sequence[LabelledTicket],
    options: TrainOptions,
    checkpoint: Path,
    work: Path,
    progress: Progress = lambda stage, done: None,
) -> tuple[LeafPredictor, dict[str, Any]]:
    """Fine-tune an encoder on the catalogue's lines and the tickets.

    The latest twentieth of the training tickets (a fifth of few) decides when to stop. States are saved in
    ``work``, so that a run interrupted here goes on where it was when started again.
    """
    from training.encoder import EncoderData, EncoderOptions, train_encoder  # noqa: PLC0415

    ordered = sorted(tickets, key=lambda t: t.created_at or "")
    # A handful of tickets would stop the run by chance: of few tickets a fifth is watched.
    watched = max(len(ordered) // _WATCHED, min(len(ordered) // 5, 200), 1)
    texts, rows, weights = training_texts(catalogue, ordered[:-watched], options.says_weight)
    group_rows = {g.code: i for i, g in enumerate(catalogue.groups)}
    data = EncoderData(
        texts=texts,
        leaf_of=rows,
        class_of=class_rows(catalogue),
        group_of=np.array([group_rows[leaf.group_code] for leaf in catalogue.leaves]),
        weights=weights,
        held_out_texts=[normalise(t.text).text for t in ordered[-watched:]],
        held_out_leaf_of=np.array([catalogue.index[t.code] for t in ordered[-watched:]]),
    )
    chosen = EncoderOptions(**{"seed": options.seed, **options.encoder})
    trained = train_encoder(data, checkpoint, work, chosen, progress)
    if trained is None:  # a process of torchrun other than the first: its work is done
        raise SystemExit(0)
    return trained.classifier, trained.report


def calibrate_on_tickets(
    knowledge: Knowledge,
    classifier: LeafPredictor,
    tickets: Sequence[LabelledTicket],
    *,
    recipe: Recipe | None = None,
    coverage: float = TICKET_COVERAGE,
    auto_precision: float = AUTO_PRECISION,
    suggest_precision: float = SUGGEST_PRECISION,
    seed: int = 0,
) -> tuple[LeafPredictor, Calibration, float]:
    """Temperature, isotonic maps, conformal set and thresholds on unseen (later) tickets.

    Too few tickets are joined with held-out ``says`` as in the cold start; without those the model
    stays uncalibrated and says so.

    Parameters
    ----------
    recipe
        That of the classifier, for a sister model that never saw the held-out ``says``; ``None``
        if the classifier is of another kind, whose confidence a sister could not tell.
    coverage, auto_precision, suggest_precision
        See :func:`training.calibration.calibrate`.
    seed
        Of the sample of many tickets.
    """
    catalogue = knowledge.catalogue
    chosen = sample(tickets, _MOST_TO_CALIBRATE, seed)
    sister = recipe if any(leaf.says for leaf in catalogue.leaves) else None
    if len(chosen) < _LEAST_TO_CALIBRATE and sister is None:
        note = f"未校准：校准工单只有 {len(chosen)} 件，至少需要 {_LEAST_TO_CALIBRATE} 件"
        return classifier, Calibration(fitted_on=note), 1.0
    temperature = 1.0
    if len(chosen) >= _ENOUGH_TO_CALIBRATE or sister is None:
        # Of few easy tickets a temperature would make the model too sure of everything else.
        few = sample(chosen, _MOST_FOR_TEMPERATURE, seed)
        classifier, temperature = with_temperature(classifier, catalogue, few)
        unseen = unseen_tickets(classifier, knowledge, chosen)
        note = "留出的工单"
    else:
        unseen = unseen_tickets_and_says(classifier, knowledge, chosen, sister)
        note = "校准工单与留出例句各占一半权重"
    classifier, calibration = calibrate(
        classifier,
        unseen,
        lambda p: unit_mass(knowledge, p),
        coverage=coverage,
        auto_precision=auto_precision,
        suggest_precision=suggest_precision,
        fitted_on=note,
    )
    return classifier, calibration, temperature


def _without_texts(evaluation: Evaluation) -> dict[str, Any]:
    """Leave out the tickets' words: a bundle travels further than the data it was trained on."""
    data = evaluation.to_json()
    data.pop("suspects")
    data["confusions"] = [
        {k: v for k, v in c.items() if k != "examples"} for c in data["confusions"]
    ]
    return data


def _data_facts(
    data: Sequence[Path], found: Gathered, split: Split, leaf_counts: Ints
) -> dict[str, Any]:
    """Return what the run record says of the data."""
    files = [(p.name, file_hash(p)) for source in data for p in data_files(Path(source))]
    return {
        "data": [{"file": name, "sha256": digest} for name, digest in files],
        "data_hash": files[0][1] if len(files) == 1 else _joined_hash(files),
        "rows": found.rows,
        "usable": found.usable,
        "used": len(found.tickets),
        "rejected": dict(found.rejected.most_common()),
        "retired": dict(found.retired.most_common()),
        "split": split.to_json(),
        "leaves_with_tickets": int((leaf_counts > 0).sum()),
        "leaves": len(leaf_counts),
        "leaf_counts": leaf_counts.tolist(),
    }


def _model_facts(
    options: TrainOptions, classifier: LeafPredictor, encoder_report: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what the run record says of the model."""
    facts: dict[str, Any] = {
        "architecture": "linear",
        "taxonomy": options.taxonomy or "taxonomy/",
        "options": {
            "calibrate": options.calibrate,
            "test": options.test,
            "says_weight": options.says_weight,
            "most_tickets": options.most_tickets,
            "coverage": options.coverage,
            "auto_precision": options.auto_precision,
            "suggest_precision": options.suggest_precision,
            "seed": options.seed,
            "columns": dict(options.columns),
        },
        "recipe": asdict(options.recipe or Recipe(seed=options.seed)),
        "vocabulary": len(classifier.vocabulary) if isinstance(classifier, Classifier) else None,
    }
    if encoder_report is None:
        return facts
    told = {k: v for k, v in encoder_report.items() if k != "options"}
    return facts | {"architecture": "encoder", "recipe": encoder_report["options"], "encoder": told}


def _joined_hash(files: Sequence[tuple[str, str]]) -> str:
    return sha256("".join(f"{n}:{h};" for n, h in files).encode()).hexdigest()
