"""What a record says: strategies, statistics, the summary, figures and the report.

Everything here reads a record's folder (record.zarr, config.yaml, summary.json) and nothing else: no
learner, no game and no live state, so that a report can be made again at any time, on any machine.
"""
