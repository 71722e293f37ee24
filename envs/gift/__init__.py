"""Gift: tokens that are worth more to whoever is given them."""
