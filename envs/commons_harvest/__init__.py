"""Commons harvest: apples that do not grow back where all are taken."""
