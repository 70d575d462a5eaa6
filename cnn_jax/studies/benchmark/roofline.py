"""The roofline: what bounds a piece of work on a device, and how much of that bound it reaches.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (2009), with multiply-adds as the
unit of work. Pure functions of numbers.
"""

from dataclasses import dataclass

from cnn_jax.studies.benchmark.roofs import Roofs


@dataclass(frozen=True)
class Work:
    """A piece of work as it was measured: multiply-adds by definition, bytes that must move at least, seconds."""

    multiply_adds: int
    moved_bytes: int
    seconds: float

    @property
    def intensity(self) -> float:
        """Multiply-adds a byte."""
        return self.multiply_adds / self.moved_bytes

    @property
    def multiply_adds_per_second(self) -> float:
        return self.multiply_adds / self.seconds


@dataclass(frozen=True)
class Bound:
    """What holds a piece of work back at best. limit: `compute` or `memory`. share: of the bound that was reached."""

    limit: str
    share: float

    @property
    def verdict(self) -> str:
        """The share in words."""
        if self.share > 1:
            return {
                "compute": "past the bound: fewer products than the definition's",
                "memory": "past the bound: data stay in the cache",
            }[self.limit]
        if self.share >= 0.7:
            return f"near the {self.limit} bound"
        if self.share >= 0.3:
            return f"below the {self.limit} bound"
        return f"far below the {self.limit} bound: other work or waiting prevails"


def bound(work: Work, roofs: Roofs) -> Bound:
    """The roof above this work, and the share of it that the work reaches."""
    compute = work.multiply_adds / roofs.multiply_adds_per_second
    memory = work.moved_bytes / roofs.bytes_per_second
    return Bound("compute" if compute > memory else "memory", max(compute, memory) / work.seconds)
