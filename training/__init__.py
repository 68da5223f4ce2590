"""Labelled material in, a bundle out: synthesis, training, calibration, evaluation."""
