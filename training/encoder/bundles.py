"""Whole bundles of what an encoder is used for: a cascade, and a fast model distilled from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.bundle import Bundle, json_bytes, refuse_foreign, tensor_bytes, write_bundle
from jiesu_nlp.catalogue.snapshot import catalogue_from_json
from jiesu_nlp.classify.classifier import Classifier
from jiesu_nlp.classify.loading import classifier_of
from jiesu_nlp.classify.predictor import LeafPredictor
from jiesu_nlp.dispatcher import CALIBRATION_FILE
from jiesu_nlp.errors import BundleError, DataError
from jiesu_nlp.gate_scorer import GateScorer
from jiesu_nlp.knowledge import CATALOGUE_FILE, SAYS_FILE, Knowledge, knowledge_of
from jiesu_nlp.text.normalise import normalise
from training.encoder.cascade import fit_cascade
from training.encoder.distil import distil
from training.low_rank import recipe_for
from training.run_record import (
    CARD_FILE,
    RECORD_FILE,
    SEEN_FILE,
    among,
    seen_in_training,
    text_hash,
    text_hashes,
)
from training.tickets import LabelledTicket
from training.train import calibrate_on_tickets, training_texts

Progress = Callable[[str, float], None]
_LEAST = 20


def write_cascade(
    fast: Bundle,
    strong: Bundle,
    tickets: Sequence[LabelledTicket],
    out: Path,
    *,
    most_asked: float = 0.3,
    progress: Progress = lambda stage, done: None,
) -> dict[str, Any]:
    """Join a fast and an encoder bundle of one catalogue; return the record of the new bundle.

    Parameters
    ----------
    tickets
        Labelled tickets. Those that either bundle was trained on are left out; of the others,
        one half finds the threshold and the other half calibrates the whole.
    most_asked
        Greatest share of tickets the encoder may be asked about.
    """
    refuse_foreign(out)
    if fast.read_bytes(CATALOGUE_FILE) != strong.read_bytes(CATALOGUE_FILE):
        raise BundleError(
            f"{fast.name} 与 {strong.name} 的派单目录不同，不能级联；请用同一目录重新训练两者"
        )
    progress("读取两个模型包", 0.0)
    first, second = classifier_of(fast), classifier_of(strong)
    if not isinstance(first, Classifier):
        raise BundleError(f"{fast.name} 不是快速模型")
    if isinstance(second, Classifier):
        raise BundleError(f"{strong.name} 不是编码器模型包；先用 jiesu train --arch encoder 训练")
    texts = [t.text for t in tickets]
    seen = np.asarray(seen_in_training(fast, texts)) | np.asarray(seen_in_training(strong, texts))
    unseen = [t for t, s in zip(tickets, seen, strict=True) if not s]
    if len(unseen) < _LEAST:
        raise DataError(
            f"两个模型都没见过的标注工单只有 {len(unseen)} 件，至少需要 {_LEAST} 件",
            remedy="给出没有用于训练的工单",
        )
    knowledge = _knowledge(fast)
    gate_scorer = _gate_scorer(knowledge, (fast, strong))
    progress("确定阈值", 0.1)
    index = knowledge.catalogue.index
    cascade, point, _ = fit_cascade(
        first,
        second,
        [normalise(t.text).text for t in unseen[::2]],
        np.array([index[t.code] for t in unseen[::2]]),
        most_asked=most_asked,
    )
    progress("校准置信度", 0.6)
    facts = {
        "architecture": "cascade",
        "fast": fast.name,
        "encoder": strong.name,
        "tickets": len(unseen),
        "seen_left_out": int(seen.sum()),
        "most_asked": most_asked,
        **point.to_json(),
    }
    used = [t.text for t in unseen]
    return _write(
        knowledge, cascade, gate_scorer, unseen[1::2], out, facts, (fast, strong), progress, used
    )


def write_distilled(
    teacher: Bundle,
    labelled: Sequence[LabelledTicket],
    unlabelled: Sequence[str],
    calibration: Sequence[LabelledTicket],
    out: Path,
    *,
    unlabelled_weight: float = 1.0,
    seed: int = 0,
    progress: Progress = lambda stage, done: None,
) -> dict[str, Any]:
    """Distil a bundle's classifier into a fast one; return the record of the new bundle.

    Parameters
    ----------
    labelled
        Tickets to learn from besides the catalogue's own lines.
    unlabelled
        Texts for the teacher to judge; those of tickets that calibrate are left out.
    calibration
        Labelled tickets. Those that the teacher was trained on, or that are ``labelled`` too, are
        left out: of them the student is surer than of what is to come.
    seed
        Of the fit and of the sample of many tickets to calibrate on.
    """
    refuse_foreign(out)
    progress("读取教师模型", 0.0)
    knowledge = _knowledge(teacher)
    gate_scorer = _gate_scorer(knowledge, (teacher,))
    texts = [t.text for t in calibration]
    seen = seen_in_training(teacher, texts) | _among(texts, [t.text for t in labelled])
    unseen = [t for t, s in zip(calibration, seen, strict=True) if not s]
    # A pile of old complaints often holds the labelled ones: it can spare them, calibration cannot.
    held_out = _among(unlabelled, [t.text for t in unseen])
    to_judge = [t for t, h in zip(unlabelled, held_out, strict=True) if not h]
    lines, rows, weights = training_texts(knowledge.catalogue, labelled, 1.0)
    recipe = recipe_for(len(knowledge.catalogue), len(labelled) + len(to_judge))
    student = distil(
        classifier_of(teacher),
        (lines, rows),
        [normalise(t).text for t in to_judge],
        weights=weights,
        unlabelled_weight=unlabelled_weight,
        recipe=replace(recipe, seed=seed),
        report=lambda done: progress("教师判断，学生学习", 0.05 + 0.7 * done),
    )
    facts = {
        "architecture": "distilled",
        "teacher": teacher.name,
        "labelled": len(labelled),
        "unlabelled": len(to_judge),
        "unlabelled_left_out": len(unlabelled) - len(to_judge),
        "seen_left_out": int(seen.sum()),
        "seed": seed,
    }
    learned = [*(t.text for t in labelled), *to_judge]
    return _write(
        knowledge, student, gate_scorer, unseen, out, facts, (teacher,), progress, learned, seed
    )


def _among(texts: Sequence[str], known: Sequence[str]) -> NDArray[np.bool_]:
    """Return which texts are among the known ones, word for word."""
    own = np.fromiter((text_hash(t) for t in texts), dtype=np.uint64, count=len(texts))
    return among(own, text_hashes(known))


def _knowledge(bundle: Bundle) -> Knowledge:
    """Return a bundle's knowledge together with the says: to be learned from and handed on."""
    says = bundle.read_json(SAYS_FILE) if SAYS_FILE in bundle else {}
    return replace(
        knowledge_of(bundle),
        catalogue=catalogue_from_json(bundle.read_json(CATALOGUE_FILE), says),
    )


def _gate_scorer(knowledge: Knowledge, sources: Sequence[Bundle]) -> GateScorer | None:
    """Return the gate scorer that the sources hand on.

    Raises
    ------
    BundleError
        If they have none though there are says to fit one on: most emergencies would go unseen.
    """
    for source in sources:
        scorer = GateScorer.from_bundle(source)
        if scorer is not None:
            return scorer
    if any(leaf.says for leaf in knowledge.catalogue.leaves):
        raise BundleError(
            f"{'、'.join(b.name for b in sources)} 没有分流评分器，紧急情形大多会漏报；"
            "请用现在的版本重新训练"
        )
    return None


def _write(
    knowledge: Knowledge,
    classifier: LeafPredictor,
    gate_scorer: GateScorer | None,
    tickets: Sequence[LabelledTicket],
    out: Path,
    facts: Mapping[str, Any],
    sources: Sequence[Bundle],
    progress: Progress,
    seen: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Calibrate and write a bundle."""
    classifier, calibration, temperature = calibrate_on_tickets(
        knowledge, classifier, tickets, seed=seed
    )
    now = datetime.now(UTC)
    record = {
        **facts,
        "created_at": now.isoformat(timespec="seconds"),
        "temperature": round(temperature, 4),
        "calibrated_on": calibration.fitted_on,
        "sources": {b.name: dict(b.versions) for b in sources},
    }
    versions = {"model": f"{out.name}+{now:%Y%m%d%H%M}", **knowledge.versions()}
    progress("写入模型包", 0.95)
    write_bundle(
        out,
        {
            **classifier.to_files(),
            **(gate_scorer.to_files() if gate_scorer is not None else {}),
            **knowledge.to_files(),
            CALIBRATION_FILE: json_bytes(calibration.to_json()),
            RECORD_FILE: json_bytes(record),
            SEEN_FILE: _seen([*seen, *(t.text for t in tickets)], sources),
            CARD_FILE: _card(out.name, record).encode(),
        },
        versions=versions,
        parameters={"recipe": record["architecture"]},
        created_at=record["created_at"],
    )
    progress("完成", 1.0)
    return record


def _seen(texts: Sequence[str], sources: Sequence[Bundle]) -> bytes:
    """Join what the sources saw with what was seen now: their knowledge is handed on."""
    known = [text_hashes(texts)]
    known += (b.read_tensors(SEEN_FILE)["hashes"] for b in sources if SEEN_FILE in b)
    return tensor_bytes({"hashes": np.unique(np.concatenate(known))})


def _card(name: str, record: Mapping[str, Any]) -> str:
    titles = {
        "fast": "快速模型",
        "encoder": "编码器",
        "teacher": "教师",
        "labelled": "标注工单",
        "unlabelled": "未标注诉求",
        "unlabelled_left_out": "与校准工单相同而没有学的未标注诉求",
        "seen_left_out": "训练时见过而没有用来校准的工单",
        "threshold": "阈值（快速模型把握低于它时问编码器）",
        "asked": "问编码器的比例",
        "top1": "细项首位正确（定阈值的工单上）",
        "calibrated_on": "校准",
        "created_at": "生成时间",
    }
    kind = {"cascade": "级联", "distilled": "蒸馏"}[record["architecture"]]
    lines = [f"# {name}（{kind}）", ""]
    for key, title in titles.items():
        if key in record:
            value = record[key]
            lines.append(f"* {title}：{f'{value:.3f}' if isinstance(value, float) else value}")
    return "\n".join(lines) + "\n\n启用前请用 jiesu compare 与现用模型包比较。\n"
