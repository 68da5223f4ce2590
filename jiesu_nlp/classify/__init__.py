"""What it is: features, scores, calibrated probabilities over the leaves, evidence."""
