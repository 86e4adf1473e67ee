"""The findings graph: what goes with what among coded findings, as vectors that rerank search results."""
