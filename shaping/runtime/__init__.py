"""What a run needs from the machine: devices, records, checkpoints, progress."""
