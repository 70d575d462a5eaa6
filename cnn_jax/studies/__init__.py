"""Studies: one folder for each `--mode` that looks at models or runs. Small ones are one file.

`run(config, options, ...)` is the command. It takes a Config, a list of them or none, as the table MODES of `run.py`
says, the RunOptions, and the flags of its own.
"""
