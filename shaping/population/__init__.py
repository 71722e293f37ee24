"""Many matches side by side: their settings stacked, their updates one compiled program."""
