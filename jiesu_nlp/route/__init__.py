"""Who must handle it: unit registry, ordered rules, deadline."""
