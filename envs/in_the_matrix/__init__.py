"""Games in the matrix (STORM): gather strategies on a grid, then play a matrix game with them."""
