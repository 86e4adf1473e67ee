"""Findings as they are drawn on a film."""
