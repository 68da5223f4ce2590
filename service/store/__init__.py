"""The memory of decisions: tables, migrations, the writer with its spool, queries, exports."""
