"""What the lesson shows, computed: one file a part of the lecture, each with a function that gives the part's record.

A record is a dict of numbers, texts and numpy arrays, under names that say what they are. Its arrays go into
`lesson.npz` as they are; `cnn_jax/reporting/lesson/` draws them in a file of the same name.
"""
