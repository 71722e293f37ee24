"""What games on a grid share: occupied cells, the order of players, and random cells."""
