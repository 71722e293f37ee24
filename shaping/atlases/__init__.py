"""Maps of policies, by representations learned from how they play."""
