"""The lecture as one page: one file a part of the lecture.

Each part has `compute`, which returns the part's record; `ARRAYS`, which documents the arrays of the record; and
`section`, which turns the record into a section of the page. A record is a dict of numbers, texts and numpy arrays; its
arrays are written to `lesson.npz`. `parts.py` lists the parts.
"""
