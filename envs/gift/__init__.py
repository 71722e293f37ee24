"""Gift: tokens that are worth more when they are given away."""
