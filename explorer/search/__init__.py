"""Search of a casebook: encode, retrieve, rerank, describe."""
