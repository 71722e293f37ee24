"""CleanUp-lite: a river that somebody has to clean."""
