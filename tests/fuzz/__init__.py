"""Fuzzing of folders and command lines: a few dozen cases in the suite, thousands with `python -m tests.fuzz`.

Whatever is in a folder or on the command line, a command ends within ten seconds with a status from the table, says
what is wrong in one line, and writes nothing outside its folder.
"""
