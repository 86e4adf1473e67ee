"""Parts of measuring explanations; `evaluation.explanation` puts them together."""
