"""Build the default bundle from the taxonomy alone: no labelled ticket is needed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from jiesu_nlp.bundle import Bundle, json_bytes, write_bundle
from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.features import Ints
from jiesu_nlp.confidence import Calibration
from jiesu_nlp.dispatcher import CALIBRATION_FILE
from jiesu_nlp.knowledge import read_knowledge
from jiesu_nlp.text.normalise import normalise
from training.low_rank import Recipe, fit

Progress = Callable[[str, float], None]


def catalogue_texts(catalogue: Catalogue) -> tuple[list[str], Ints]:
    """Return all training texts of a catalogue and the leaf row of each.

    A leaf teaches with its name, its definition and its ``says``, normalised as tickets are.
    """
    texts: list[str] = []
    rows: list[int] = []
    for row, leaf in enumerate(catalogue.leaves):
        lines = (leaf.name, leaf.definition, *leaf.says)
        texts += (normalise(line).text for line in lines)
        rows += [row] * len(lines)
    return texts, np.array(rows, dtype=np.int64)


def class_rows(catalogue: Catalogue) -> Ints:
    """Return the level-1 row of each leaf, shape ``(leaves,)``."""
    row_of = {c.code: i for i, c in enumerate(catalogue.classes)}
    return np.array([row_of[leaf.class_code] for leaf in catalogue.leaves], dtype=np.int64)


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
    progress("读取目录、单位、地名与规则", 0.0)
    knowledge = read_knowledge(taxonomy)
    texts, leaf_of = catalogue_texts(knowledge.catalogue)
    classifier = fit(
        texts,
        leaf_of,
        class_rows(knowledge.catalogue),
        recipe=recipe,
        report=lambda done: progress("训练分类器", 0.1 + 0.8 * done),
    )
    progress("写入模型包", 0.95)
    versions = knowledge.versions()
    bundle = write_bundle(
        path,
        {
            **classifier.to_files(),
            **knowledge.to_files(),
            CALIBRATION_FILE: json_bytes(Calibration().to_json()),
        },
        versions={"model": f"{path.name}+{versions['catalogue'].partition('+')[2]}", **versions},
        parameters={"recipe": "cold-start"},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    progress("完成", 1.0)
    return bundle
