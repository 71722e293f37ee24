"""Games in the matrix (STORM): players collect strategies on a grid and then play a matrix game with them."""
