"""Fruit market: farmers who grow one fruit, like the other, and barter."""
