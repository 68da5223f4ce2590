"""Relabel history: millions of tickets through one dispatcher, on one machine or a cluster.

Needs the extra ``tables`` (pyarrow, SQLAlchemy); nothing else of the library imports this package.
"""
