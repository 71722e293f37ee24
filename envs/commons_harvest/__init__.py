"""Commons harvest: apples that do not grow back once all of them are taken."""
