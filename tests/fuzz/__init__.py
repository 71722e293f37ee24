"""Fuzzing of configurations, folders, command lines and library calls: a few hundred cases in the suite, thousands with
`python -m tests.fuzz`.

Whatever is in a configuration, in a folder, on the command line or among the arguments of a call: it ends within ten
seconds, says what is wrong in one line, and writes nothing outside its folder.
"""
