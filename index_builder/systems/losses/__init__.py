"""Losses of the three systems as pure functions, one paper or family of papers a module.

All give a float32 scalar, in full precision even under mixed precision, and an exact zero that can still be
differentiated where a batch holds nothing to learn from.
"""
