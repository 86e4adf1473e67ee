"""How far answers can be trusted: held-out answers, votes, temperature, conformal sets, intervals."""
