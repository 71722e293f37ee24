"""What a record shows: strategies, statistics, the summary, figures and the report.

Everything here reads only a record's folder (record.zarr, config.yaml, summary.json): no learner, no game and no live
state. A report can therefore be made again at any time, on any machine.
"""
