"""Readers of published collections, one file for each."""
