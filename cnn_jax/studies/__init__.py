"""Commands: one file a `--mode`. `run(...)` names the flags that it takes, puts the rooms together, returns its result.

`config` stands for all fields of Config, resolved; any other parameter is the flag of that name. `run.py` refuses the
flags that the chosen command does not take.
"""
