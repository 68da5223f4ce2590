"""Build the default bundle from the taxonomy alone: no labelled ticket is needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np

from jiesu_nlp.bundle import Bundle, json_bytes, write_bundle
from jiesu_nlp.classify.classifier import Classifier
from jiesu_nlp.classify.features import Floats
from jiesu_nlp.confidence import Calibration
from jiesu_nlp.dispatcher import CALIBRATION_FILE, ROUTED_LEAVES
from jiesu_nlp.knowledge import Knowledge, read_knowledge
from training.calibration import (
    calibrate,
    prepared_texts,
    unseen_tickets_and_says,
)
from training.gate_scorer import fit_gate_scorer
from training.low_rank import Recipe, fit
from training.model_card import cold_start_card
from training.run_record import (
    CARD_FILE,
    RECORD_FILE,
    SEEN_FILE,
    code_version,
    machine,
    peak_memory_mb,
    seen_bytes,
)
from training.texts import catalogue_texts, class_rows

Progress = Callable[[str, float], None]


def unit_mass(knowledge: Knowledge, probabilities: Floats) -> tuple[Floats, list[str]]:
    """Return the mass of the best leaves that share the best leaf's direction, and that direction.

    Texts of the calibration have no place, so directions are compared, not units.
    """
    units = np.array([leaf.unit for leaf in knowledge.catalogue.leaves])
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :ROUTED_LEAVES]
    p = np.take_along_axis(probabilities, best, axis=1)
    same = units[best] == units[best[:, :1]]
    return (p * same).sum(axis=1), units[best[:, 0]].tolist()


def fit_and_calibrate(
    knowledge: Knowledge, recipe: Recipe, progress: Progress
) -> tuple[Classifier, Calibration]:
    """Fit the classifier on the whole catalogue and calibrate it on texts it never saw."""
    catalogue = knowledge.catalogue
    texts, text_leaf = catalogue_texts(catalogue)
    classifier = fit(
        texts,
        text_leaf,
        class_rows(catalogue),
        recipe=recipe,
        report=lambda done: progress("训练分类器", 0.05 + 0.45 * done),
    )
    progress("校准置信度", 0.5)
    unseen = unseen_tickets_and_says(classifier, knowledge, (), recipe)
    progress("校准置信度", 0.85)
    return calibrate(classifier, unseen, lambda p: unit_mass(knowledge, p))


def build_default_bundle(
    path: Path,
    taxonomy: Path,
    progress: Progress = lambda stage, done: None,
    *,
    recipe: Recipe = Recipe(),
) -> Bundle:
    """Train the default model from the taxonomy and write it as a bundle.

    Parameters
    ----------
    path
        Folder of the new bundle; its name is the model's version.
    taxonomy
        Folder of ``catalogue/ units/ places/ rules/``.
    progress
        Called with a stage (Chinese) and the share done, 0 to 1.
    recipe
        Hyper-parameters of the classifier.
    """
    started = time.perf_counter()
    progress("读取目录、单位、地名与规则", 0.0)
    knowledge = read_knowledge(taxonomy)
    classifier, calibration = fit_and_calibrate(knowledge, recipe, progress)
    gate_scorer = fit_gate_scorer(knowledge)
    progress("写入模型包", 0.95)
    versions = knowledge.versions()
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    texts, _ = catalogue_texts(knowledge.catalogue)
    record = {
        "created_at": created_at,
        "architecture": "cold-start",
        "texts": len(texts),
        "data_hash": sha256("\n".join(texts).encode()).hexdigest(),
        "leaves": len(knowledge.catalogue),
        "recipe": asdict(recipe),
        "temperature": 1.0,
        "vocabulary": len(classifier.vocabulary),
        "calibrated_on": calibration.fitted_on,
        "versions": {"code": code_version(), **versions},
        "machine": machine(),
        "seconds": round(time.perf_counter() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
    }
    bundle = write_bundle(
        path,
        {
            **classifier.to_files(),
            **knowledge.to_files(),
            **gate_scorer.to_files(),
            CALIBRATION_FILE: json_bytes(calibration.to_json()),
            RECORD_FILE: json_bytes(record),
            # The says it was trained on are in the bundle as they are.
            SEEN_FILE: seen_bytes(prepared_texts()),
            CARD_FILE: cold_start_card(path.name, record).encode(),
        },
        versions={"model": f"{path.name}+{versions['catalogue'].partition('+')[2]}", **versions},
        parameters={"recipe": "cold-start"},
        created_at=created_at,
    )
    progress("完成", 1.0)
    return bundle
