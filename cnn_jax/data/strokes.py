"""Draws skeletons like handwriting: a pure function of skeletons, style and key, for any characters."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnn_jax.data.splines import CONTROLS, STROKES, VERTICES, Skeleton

SIZE = 28  # pixels, height and width of an image
BOX = 20  # pixels, the longer side of the bounding box of the ink
BLOCK = 2_000  # images drawn at once
_CENTRES = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)  # of the pixels, along a row or a column


class Style(NamedTuple):
    """How much handwriting varies: standard deviations. Lengths in heights of the character, angles as tangents."""

    unsteadiness: float = 0.4  # of the logarithm of a factor on jitter and offset
    jitter: float = 0.026  # of the control points
    offset: float = 0.02  # of whole strokes
    overshoot: float = 0.6  # of a stroke's ends, in segments of the polyline
    warp: float = 0.035  # of a smooth distortion of the plane
    aspect: float = 0.22  # of the logarithm of width : height
    aspect_mean: float = 0.14  # its mean
    slant: float = 0.24  # from the vertical
    slant_mean: float = 0.1  # its mean
    rotation: float = 0.11
    taper: float = 0.2  # change of the width from top to bottom
    balance: float = 0.18  # size of the lower half relative to the upper half, and of right relative to left
    radius: float = 0.07  # of the pen: the median
    radius_spread: float = 0.3  # of the logarithm of the pen's radius
    pressure: float = 0.12  # of the logarithm of the radius, along a stroke
    softness: float = 1.3  # pixels from full ink to paper


class StyleSample(NamedTuple):
    """All random numbers of one character, from the standard normal distribution, truncated at 2.5.

    The defaults are the shapes of the arrays.
    """

    steadiness: Any = ()
    controls: Any = (CONTROLS, 2)
    offsets: Any = (STROKES, 2)
    ends: Any = (2, STROKES)
    waves: Any = (2, 3)
    phases: Any = (1, 3)
    displacements: Any = (3, 2)
    balance: Any = (1, 2)
    plane: Any = (4,)
    pen: Any = (4, 1)


def draw_all(skeletons: Skeleton, indices: jax.Array, key: jax.Array, style: Style) -> jax.Array:
    """Many characters: uint8 [N, SIZE, SIZE, 1]; image i is a function of its skeleton, key and i.

    skeletons: arrays with a leading axis. indices: int32 [N], the skeleton that each image shows.
    """

    def one(position_and_index: tuple[jax.Array, jax.Array]) -> jax.Array:
        position, index = position_and_index
        skeleton = jax.tree.map(lambda array: array[index], skeletons)
        ink = draw(skeleton, sample_style(jax.random.fold_in(key, position)), style)
        return jnp.round(255 * ink).astype(jnp.uint8)[:, :, None]

    return lax.map(one, (jnp.arange(len(indices)), indices), batch_size=BLOCK)


def draw(skeleton: Skeleton, sample: StyleSample, style: Style) -> jax.Array:
    """One character: float32 [SIZE, SIZE], from 0 (paper) to 1 (ink).

    The longer side of the ink's bounding box is BOX pixels, and the centre of mass is the image's centre to the nearest
    pixel, as in MNIST (LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998).
    """
    vertices = _distorted(_perturbed(skeleton, sample, style), sample, style)
    vertices, radii, extent = _scaled_to_box(vertices, _pen_radii(sample, style))
    return _centred(_rasterized(vertices, radii, skeleton.stroke, style.softness), extent)


def sample_style(key: jax.Array) -> StyleSample:
    """A random style. The tails of the distribution are cut off: there a character becomes unreadable."""
    shapes = StyleSample()
    sizes = [math.prod(shape) for shape in shapes]
    # One call for all numbers, because each call of jax.random takes a second to compile.
    numbers = jax.random.truncated_normal(key, -2.5, 2.5, (sum(sizes),), jnp.float32)
    parts = jnp.split(numbers, np.cumsum(sizes)[:-1])
    return StyleSample(*(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))


def _perturbed(skeleton: Skeleton, sample: StyleSample, style: Style) -> jax.Array:
    """The polyline, float32 [VERTICES, 2], with points and strokes moved, and strokes made longer or shorter."""
    unsteadiness = jnp.exp(style.unsteadiness * sample.steadiness)
    vertices = skeleton.curves @ (skeleton.controls + unsteadiness * style.jitter * sample.controls)
    first, last = _stroke_ends(skeleton.stroke)
    begin, end = style.overshoot * sample.ends
    vertices = (
        vertices
        + (first @ begin)[:, None] * (vertices - jnp.roll(vertices, -1, 0))
        + (last @ end)[:, None] * (vertices - jnp.roll(vertices, 1, 0))
    )
    return vertices + skeleton.stroke @ (unsteadiness * style.offset * sample.offsets)


def _stroke_ends(stroke: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Two copies of `stroke`, with ones only at the first and only at the last vertex of each stroke."""
    nothing = jnp.zeros_like(stroke[:1])
    first = stroke * (1 - jnp.concatenate([nothing, stroke[:-1]]))
    last = stroke * (1 - jnp.concatenate([stroke[1:], nothing]))
    return first, last


def _distorted(vertices: jax.Array, sample: StyleSample, style: Style) -> jax.Array:
    """The vertices after a smooth distortion by three waves, then balance, aspect, taper, slant and rotation."""
    waves = jnp.sin(3 * vertices @ sample.waves + 10 * sample.phases)
    vertices = vertices + waves @ (style.warp * sample.displacements)
    x, y = (vertices + style.balance * sample.balance * (0.25 - vertices**2)).T
    aspect, taper, slant, turn = jnp.array([style.aspect, style.taper, style.slant, style.rotation]) * sample.plane
    x = x * jnp.exp(style.aspect_mean + aspect + taper * y) - y * (style.slant_mean + slant)
    return jnp.stack([x - turn * y, turn * x + y], axis=1)


def _pen_radii(sample: StyleSample, style: Style) -> jax.Array:
    """The pen's radius at each vertex, float32 [VERTICES]: a random radius, with a slow change by pressure."""
    radius, pressure, rate, phase = sample.pen
    progress = jnp.linspace(0, 1, VERTICES, dtype=jnp.float32)
    wave = jnp.sin(6 * jnp.exp(0.5 * rate) * progress + 10 * phase)
    return style.radius * jnp.exp(style.radius_spread * radius + style.pressure * pressure * wave)


def _scaled_to_box(vertices: jax.Array, radii: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Vertices and radii in pixels, with the ink's box in the upper left corner of the image; and the box's size."""
    low = jnp.min(vertices - radii[:, None], axis=0)
    high = jnp.max(vertices + radii[:, None], axis=0)
    scale = BOX / jnp.max(high - low)
    return (vertices - low[None]) * scale, radii * scale, (high - low) * scale


def _rasterized(vertices: jax.Array, radii: jax.Array, stroke: jax.Array, softness: float) -> jax.Array:
    """The image, float32 [SIZE, SIZE]: ink is where a segment is nearer than the pen's radius at that place.

    vertices: x and y in pixels; the first pixel's centre is at (0.5, 0.5).
    """
    is_drawn = jnp.sum(stroke[:-1] * stroke[1:], axis=1) > 0
    steps = vertices[1:] - vertices[:-1]
    per_square = 1 / jnp.maximum(jnp.sum(steps**2, axis=1), 1e-6)
    widths = jnp.where(is_drawn, radii[:-1], -SIZE), radii[1:] - radii[:-1]

    def closer(outside: jax.Array, segment: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        start, step, per_square, radius, growth = segment
        x, y = _CENTRES[None, :] - start[0], _CENTRES[:, None] - start[1]
        along = jnp.clip((x * step[0] + y * step[1]) * per_square, 0, 1)
        distance = jnp.sqrt((x - along * step[0]) ** 2 + (y - along * step[1]) ** 2)
        return jnp.minimum(outside, distance - radius - along * growth), None

    no_ink = jnp.full((SIZE, SIZE), SIZE, jnp.float32)
    outside, _ = lax.scan(closer, no_ink, (vertices[:-1], steps, per_square, *widths))
    ink = jnp.clip(0.5 - outside / softness, 0, 1)
    return ink**2 * (3 - 2 * ink)


def _centred(ink: jax.Array, extent: jax.Array) -> jax.Array:
    """The ink moved by whole pixels so that its mass is in the centre. Its box, of size `extent`, stays inside."""
    centre = jnp.stack([jnp.sum(ink, axis=0) @ _CENTRES, jnp.sum(ink, axis=1) @ _CENTRES]) / jnp.sum(ink)
    x, y = jnp.clip(jnp.round(SIZE / 2 + 0.5 - centre), 0, SIZE - jnp.ceil(extent)).astype(jnp.int32)
    return jnp.roll(ink, (y, x), (0, 1))
