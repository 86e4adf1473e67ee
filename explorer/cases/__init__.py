"""Details of an opened casebook's cases: films, anatomy, labels, words."""
