"""The ``jiesu`` command: one file per verb."""
