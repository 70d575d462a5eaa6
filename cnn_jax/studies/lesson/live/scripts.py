"""The scripts of the page, in the order in which they are run."""

from importlib import resources
from typing import Any

from cnn_jax.report.page import Scripts

# `state.js` makes the object that the others add to, and `start.js` calls them.
ORDER = (
    *("state", "network", "worker", "ink", "file", "form", "regions", "arithmetic", "answers"),
    *("text", "colours", "picture", "grid", "sliding", "readout", "pointing", "products"),
    *("choices", "change", "shares", "tiles", "curves", "lazily", "gallery", "trials", "jobs"),
    *("tried", "scores", "training", "questions", "explored", "links"),
    *("canvas", "steps", "probabilities", "maps", "unit", "stepper"),
    *("filters", "channels", "changes", "moments", "confusion", "predictions", "exercises", "start"),
)


def scripts(data: dict[str, Any]) -> Scripts:
    """The scripts with their data, which is that of `payload.compute`, and the style of the panels."""
    folder = resources.files(__package__)
    sources = {f"{name}.js": folder.joinpath(f"{name}.js").read_text("utf-8") for name in ORDER}
    style = "".join(folder.joinpath(f"{name}.css").read_text("utf-8") for name in ("live", "exploration"))
    return Scripts(style, data, sources)
