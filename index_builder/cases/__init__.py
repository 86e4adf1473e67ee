"""A case: its record, labels, text, profile, and the table of many."""
