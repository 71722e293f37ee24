"""What games on a grid share: who stands where, who goes first, and random cells."""
