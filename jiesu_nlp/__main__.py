"""``python -m jiesu_nlp``: the ``jiesu`` command, as ``torchrun -m`` needs it."""

from jiesu_nlp.cli.main import run

run()
