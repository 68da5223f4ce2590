"""jiesu-nlp: a citizen's words in, a dispatch suggestion out."""
