"""Measures of cooperation: cooperation by history, traits, zero-determinant fits, welfare, aggregates of runs."""
