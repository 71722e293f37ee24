"""What cooperation is made of: cooperation by history, traits, zero-determinant fits, welfare, aggregates of runs."""
