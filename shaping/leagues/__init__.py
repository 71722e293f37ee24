"""Leagues of frozen players, everyone against everyone, and how far each player of a run can be exploited."""
