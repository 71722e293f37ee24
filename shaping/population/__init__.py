"""Many matches together: their settings are stacked, and one compiled program updates them all."""
