"""Reports by their words and by what they say: a full-text index, and the facts of every report."""
