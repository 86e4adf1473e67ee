"""Conditions that found cases must meet, and how many cases each would leave."""
