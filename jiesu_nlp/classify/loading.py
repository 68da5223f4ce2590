"""The classifier a bundle holds: fast, encoder, or both in cascade."""

from __future__ import annotations

from jiesu_nlp.bundle import Bundle
from jiesu_nlp.classify import cascade, classifier, encoder
from jiesu_nlp.classify.predictor import LeafPredictor


def classifier_of(bundle: Bundle) -> LeafPredictor:
    """Load the classifier of a bundle, whichever kind its files make it.

    Raises
    ------
    BundleError
        If a file is missing or damaged.
    """
    if cascade.SETTINGS in bundle:
        return cascade.Cascade.from_bundle(bundle)
    if encoder.SETTINGS in bundle and classifier.SETTINGS not in bundle:
        return encoder.OnnxEncoder.from_bundle(bundle)
    return classifier.Classifier.from_bundle(bundle)
