"""Draws skeletons as a hand with a pen would: a pure function of skeleton, style and key that knows no digits."""

import math
from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.data.splines import CONTROLS, STROKES, VERTICES, Skeleton

SIZE = 28  # pixels, height and width of an image
BOX = 20  # pixels, the longer side of the ink
BLOCK = 2_000  # images drawn at once
_MIDDLES = tuple(0.5 + pixel for pixel in range(SIZE))  # of the pixels, along a row or a column


class Style(NamedTuple):
    """How much hands differ: standard deviations. Lengths in heights of the character, angles by their tangents."""

    unsteadiness: float = 0.4  # from hand to hand, of the logarithm of the two that follow
    jitter: float = 0.026  # of the control points
    offset: float = 0.02  # of whole strokes
    overshoot: float = 0.6  # of a stroke's ends, in segments of the polyline
    warp: float = 0.035  # of the plane, smoothly
    aspect: float = 0.22  # of the logarithm of width : height
    aspect_mean: float = 0.14  # of the same
    slant: float = 0.24  # to the vertical
    slant_mean: float = 0.1
    rotation: float = 0.11
    taper: float = 0.2  # of the width from top to bottom
    balance: float = 0.18  # of the upper half against the lower, and of left against right
    radius: float = 0.07  # of the pen: its median
    radius_spread: float = 0.3  # from pen to pen, of the radius' logarithm
    pressure: float = 0.12  # along a stroke, of the radius' logarithm
    softness: float = 1.3  # pixels from ink to paper


class Hand(NamedTuple):
    """All that is random in one character, each number normally distributed with mean 0 and standard deviation 1."""

    steadiness: jax.Array
    controls: jax.Array
    offsets: jax.Array
    ends: jax.Array
    waves: jax.Array
    phases: jax.Array
    pushes: jax.Array
    balance: jax.Array
    plane: jax.Array
    pen: jax.Array


_SHAPES: Mapping[str, tuple[int, ...]] = {
    "steadiness": (),
    "controls": (CONTROLS, 2),
    "offsets": (STROKES, 2),
    "ends": (2, STROKES),
    "waves": (2, 3),
    "phases": (1, 3),
    "pushes": (3, 2),
    "balance": (1, 2),
    "plane": (4,),
    "pen": (4, 1),
}


def draw_all(skeletons: Skeleton, which: jax.Array, key: jax.Array, style: Style) -> jax.Array:
    """Many characters: uint8 [N, SIZE, SIZE, 1], image i a function of key and i.

    skeletons: with a leading axis. which: int32 [N], the skeleton that each image shows.
    """

    def one(index_and_choice: tuple[jax.Array, jax.Array]) -> jax.Array:
        index, choice = index_and_choice
        skeleton = jax.tree.map(lambda array: array[choice], skeletons)
        ink = draw(skeleton, hand(jax.random.fold_in(key, index)), style)
        return jnp.round(255 * ink).astype(jnp.uint8)[:, :, None]

    return lax.map(one, (jnp.arange(len(which)), which), batch_size=BLOCK)


def draw(skeleton: Skeleton, hand: Hand, style: Style) -> jax.Array:
    """One character: float32 [SIZE, SIZE], from 0 (paper) to 1 (ink).

    The ink's box is BOX pixels in its longer side, and its centre of mass is in the middle of the image to the nearest
    pixel: so were MNIST's digits brought into form (LeCun et al., 1998).
    """
    vertices = _in_plane(_written(skeleton, hand, style), hand, style)
    vertices, radii, extent = _sized(vertices, _pen(hand, style))
    return _centred(_ink(vertices, radii, skeleton.stroke, style.softness), extent)


def hand(key: jax.Array) -> Hand:
    """A hand at random. The far ends are left out: there a character is another one, or none."""
    ends = list(accumulate(math.prod(shape) for shape in _SHAPES.values()))
    # All at once: each call of jax.random takes a second to compile.
    numbers = jax.random.truncated_normal(key, -2.5, 2.5, (ends[-1],), jnp.float32)
    parts = jnp.split(numbers, ends[:-1])
    return Hand(**{name: part.reshape(shape) for (name, shape), part in zip(_SHAPES.items(), parts, strict=True)})


def _written(skeleton: Skeleton, hand: Hand, style: Style) -> jax.Array:
    """The polyline, float32 [VERTICES, 2]: points moved, strokes set apart, their ends lengthened or shortened."""
    care = jnp.exp(style.unsteadiness * hand.steadiness)
    vertices = skeleton.curves @ (skeleton.controls + care * style.jitter * hand.controls)
    first, last = _at_ends(skeleton.stroke)
    begin, end = style.overshoot * hand.ends
    vertices = (
        vertices
        + (first @ begin)[:, None] * (vertices - jnp.roll(vertices, -1, 0))
        + (last @ end)[:, None] * (vertices - jnp.roll(vertices, 1, 0))
    )
    return vertices + skeleton.stroke @ (care * style.offset * hand.offsets)


def _at_ends(stroke: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`stroke` with ones only at the first, and only at the last vertex of each stroke."""
    nothing = jnp.zeros_like(stroke[:1])
    first = stroke * (1 - jnp.concatenate([nothing, stroke[:-1]]))
    last = stroke * (1 - jnp.concatenate([stroke[1:], nothing]))
    return first, last


def _in_plane(vertices: jax.Array, hand: Hand, style: Style) -> jax.Array:
    """The vertices after a warp of the plane by three waves, and then by what has a name in `Style`."""
    waves = jnp.sin(3 * vertices @ hand.waves + 10 * hand.phases)
    vertices = vertices + waves @ (style.warp * hand.pushes)
    x, y = (vertices + style.balance * hand.balance * (0.25 - vertices**2)).T
    aspect, taper, slant, turn = jnp.array([style.aspect, style.taper, style.slant, style.rotation]) * hand.plane
    x = x * jnp.exp(style.aspect_mean + aspect + taper * y) - y * (style.slant_mean + slant)
    return jnp.stack([x - turn * y, turn * x + y], axis=1)


def _pen(hand: Hand, style: Style) -> jax.Array:
    """The pen's radius at each vertex, float32 [VERTICES]: its own, and the pressure's slow change."""
    own, pressure, rate, phase = hand.pen
    progress = jnp.linspace(0, 1, VERTICES, dtype=jnp.float32)
    wave = jnp.sin(6 * jnp.exp(0.5 * rate) * progress + 10 * phase)
    return style.radius * jnp.exp(style.radius_spread * own + style.pressure * pressure * wave)


def _sized(vertices: jax.Array, radii: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Vertices and radii in pixels, the ink's box in the upper left corner of the image, and the box's size [2]."""
    low = jnp.min(vertices - radii[:, None], axis=0)
    high = jnp.max(vertices + radii[:, None], axis=0)
    scale = BOX / jnp.max(high - low)
    return (vertices - low[None]) * scale, radii * scale, (high - low) * scale


def _ink(vertices: jax.Array, radii: jax.Array, stroke: jax.Array, softness: float) -> jax.Array:
    """The pen's trace, float32 [SIZE, SIZE]: ink is where a segment is nearer than the pen's radius there.

    vertices: x and y in pixels; the first pixel's middle is at (0.5, 0.5).
    """
    middles = jnp.array(_MIDDLES, jnp.float32)
    is_drawn = jnp.sum(stroke[:-1] * stroke[1:], axis=1) > 0
    steps = vertices[1:] - vertices[:-1]
    per_square = 1 / jnp.maximum(jnp.sum(steps**2, axis=1), 1e-6)
    widths = jnp.where(is_drawn, radii[:-1], -SIZE), radii[1:] - radii[:-1]

    def nearer(outside: jax.Array, segment: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        start, step, per_square, radius, growth = segment
        x, y = middles[None, :] - start[0], middles[:, None] - start[1]
        along = jnp.clip((x * step[0] + y * step[1]) * per_square, 0, 1)
        distance = jnp.sqrt((x - along * step[0]) ** 2 + (y - along * step[1]) ** 2)
        return jnp.minimum(outside, distance - radius - along * growth), None

    nowhere = jnp.full((SIZE, SIZE), SIZE, jnp.float32)
    outside, _ = lax.scan(nearer, nowhere, (vertices[:-1], steps, per_square, *widths))
    ink = jnp.clip(0.5 - outside / softness, 0, 1)
    return ink**2 * (3 - 2 * ink)


def _centred(ink: jax.Array, extent: jax.Array) -> jax.Array:
    """The ink moved by whole pixels so that its mass is in the middle. Its box, of size `extent`, stays within."""
    middles = jnp.array(_MIDDLES, jnp.float32)
    centre = jnp.stack([jnp.sum(ink, axis=0) @ middles, jnp.sum(ink, axis=1) @ middles]) / jnp.sum(ink)
    x, y = jnp.clip(jnp.round(SIZE / 2 + 0.5 - centre), 0, SIZE - jnp.ceil(extent)).astype(jnp.int32)
    return jnp.roll(ink, (y, x), (0, 1))
