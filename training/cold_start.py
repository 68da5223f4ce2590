"""Build the default bundle from the taxonomy alone: no labelled ticket is needed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy import sparse

from jiesu_nlp.bundle import Bundle, json_bytes, write_bundle
from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.classifier import Classifier
from jiesu_nlp.classify.features import CharNgrams
from jiesu_nlp.confidence import Calibration
from jiesu_nlp.dispatcher import CALIBRATION_FILE
from jiesu_nlp.knowledge import Knowledge, read_knowledge

Progress = Callable[[str, float], None]


def fit_classifier(catalogue: Catalogue, progress: Progress) -> Classifier:
    """Fit leaf centroids on names, definitions and says."""
    features = CharNgrams()
    texts: list[str] = []
    rows: list[int] = []
    for row, leaf in enumerate(catalogue.leaves):
        lines = (leaf.name, leaf.definition, *leaf.says)
        texts += lines
        rows += [row] * len(lines)
    progress("提取特征", 0.1)
    counts = features.matrix(texts)
    member = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, np.arange(len(rows)))),
        shape=(len(catalogue), len(rows)),
    )
    by_leaf = (member @ counts).tocsr()
    leaf_frequency = np.bincount(by_leaf.indices, minlength=features.size)
    weights = (np.log((1 + len(catalogue)) / (1 + leaf_frequency)) + 1).astype(np.float32)
    progress("计算类目中心", 0.4)
    counts.data = (np.log(counts.data) + 1) * weights[counts.indices]
    norms = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    counts = sparse.diags_array(1 / np.maximum(norms, 1e-9)) @ counts
    sums = member @ counts
    lengths = np.sqrt(np.asarray(sums.multiply(sums).sum(axis=1)).ravel())
    centroids = sparse.csr_matrix((sparse.diags_array(1 / np.maximum(lengths, 1e-9)) @ sums).T)
    class_rows = {c.code: i for i, c in enumerate(catalogue.classes)}
    return Classifier(
        features=features,
        weights=weights,
        centroids=centroids.astype(np.float32),
        class_of=np.array([class_rows[leaf.class_code] for leaf in catalogue.leaves]),
        scale=25.0,
        set_threshold=0.02,
        coverage=0.95,
    )


def build_default_bundle(
    path: Path, taxonomy: Path, progress: Progress = lambda stage, done: None
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
    """
    progress("读取目录、单位、地名与规则", 0.0)
    knowledge: Knowledge = read_knowledge(taxonomy)
    classifier = fit_classifier(knowledge.catalogue, progress)
    progress("写入模型包", 0.9)
    files = {
        **classifier.to_files(),
        **knowledge.to_files(),
        CALIBRATION_FILE: json_bytes(Calibration().to_json()),
    }
    bundle = write_bundle(
        path,
        files,
        versions={"model": path.name, **knowledge.versions()},
        parameters={"recipe": "cold-start"},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    progress("完成", 1.0)
    return bundle
