"""Summary and report of populations that meet; a match is one population."""
