"""The order of the images of tensorflow_datasets, known without preparing a dataset.

tfds sorts the examples of a split by the MD5 hash of the split's name and the example's key. In the datasets here, the
key is the number of the image in the original files.
"""

import hashlib

import numpy as np

ORDER = "ordered as in tensorflow_datasets"  # for `--list`


def tfds_order(split: str, examples: int) -> np.ndarray:
    """For each image in tfds's order, its number in the original files, from 0: int64 [examples]."""
    salted = hashlib.md5(split.encode(), usedforsecurity=False)

    def digest(key: int) -> bytes:
        hashed = salted.copy()
        hashed.update(str(key).encode())
        return hashed.digest()

    return np.array(sorted(range(examples), key=digest), np.int64)
