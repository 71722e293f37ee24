"""How a run uses the machine: devices, records, checkpoints, progress."""
