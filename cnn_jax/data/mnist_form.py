"""Turns a picture of a digit into an image like MNIST's: light ink on black, centred, 28 x 28 pixels.

MNIST's digits were scaled to fit 20 x 20 pixels with their aspect kept, and placed in 28 x 28 by their centre of mass
(LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, section III.A). The steps before that
handle pictures as people take them: uneven light, noise, dust, and a digit anywhere on a page.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from cnn_jax.data.pictures import UnusablePicture

SIDE, BOX = 28, 20  # pixels, of an image and of the digit in it
_WORKING_SIDE = 1600  # pixels; larger pictures are reduced to it. A digit of 1/50 of the page keeps 32 pixels
_SURFACE_SIDE = 64  # pixels; the paper's brightness is fitted on a picture reduced to it
_MIN_CONTRAST = 0.08  # smallest difference between ink and paper, as a share of the range from black to white
_MIN_SIGNAL_TO_NOISE = 7.0  # and in standard deviations of the noise, whose largest of a million values is at five


def as_mnist(pixels: np.ndarray) -> np.ndarray:
    """The digit in a picture, in the form of MNIST: uint8 [28, 28, 1], from 0 (paper) to 255 (ink).

    pixels: uint8 [H, W, 3], dark ink on light paper or the reverse. Raises UnusablePicture where there is no ink.
    """
    grey = _grey(pixels)
    digit, rows, columns = _cut_out(*_ink_strength(grey))
    if _is_sheet(digit):
        edge = max(2, max(digit.shape) // 40)  # pixels in which the sheet and what it lies on mix
        digit, _, _ = _cut_out(*_ink_strength(grey[rows, columns][edge:-edge, edge:-edge]))
    return mnist_form(digit)


def _is_sheet(digit: np.ndarray) -> bool:
    """Whether this is a sheet of paper on a darker or lighter surface: almost full, and not a bar as a one may be."""
    return bool(min(digit.shape) > SIDE and 2 * min(digit.shape) > max(digit.shape) and (digit > 0.5).mean() > 0.8)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Brightness, float32 [h, w] in [0, 1], reduced to the working size."""
    image = Image.fromarray(pixels).convert("L")
    factor = -(-max(image.size) // _WORKING_SIDE)
    return np.asarray(image.reduce(factor), np.float32) / 255


def _ink_strength(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """The amount of ink in each pixel, float32 [h, w], about 0 on paper; and the standard deviation of its noise.

    Ink is either darker or lighter than paper, whichever is rarer. Raises UnusablePicture where nothing stands out.
    """
    difference = grey - _paper(grey)
    blur = max(grey.shape) / 2000
    smooth = ndimage.gaussian_filter(difference, blur)
    noise = _noise(grey) * min(1.0, 1 / (2 * np.sqrt(np.pi) * blur))  # what blurring leaves of white noise
    beyond = np.sign(smooth) * np.maximum(np.abs(smooth) - 3 * noise, 0) ** 2
    strength = smooth if beyond.sum() > 0 else -smooth
    if strength.max() < max(_MIN_CONTRAST, _MIN_SIGNAL_TO_NOISE * noise):
        raise UnusablePicture("blank: no ink stands out from the paper")
    return strength, noise


def _noise(grey: np.ndarray) -> float:
    """The noise's standard deviation, from differences between neighbours, of which only a few are edges of ink."""
    steps = np.abs(np.diff(grey, axis=0)), np.abs(np.diff(grey, axis=1))
    noise = 1.4826 / np.sqrt(2) * float(np.median(np.concatenate([step.ravel() for step in steps] + [[0.0]])))
    is_clipped = float(((grey == 0) | (grey == 1)).mean()) > 0.25
    return noise / 0.43 if is_clipped else noise  # black and white cut off half of it, and 0.43 of the median is left


def _paper(grey: np.ndarray) -> np.ndarray:
    """The paper's brightness under uneven light: a quadratic surface through most pixels; the others have no influence.

    Iteratively reweighted least squares with the weights of Geman and McClure, starting from the median.
    """
    small = Image.fromarray(grey)
    small.thumbnail((_SURFACE_SIDE, _SURFACE_SIDE), Image.Resampling.BOX)
    values = np.asarray(small)
    flat = values.ravel()
    terms = np.stack([np.broadcast_to(term, values.shape).ravel() for term in _quadratic(values.shape)], axis=1)
    surface = np.full_like(flat, np.median(flat))
    for _ in range(20):
        error = flat - surface
        # A limit, because with a larger value the surface would also follow a desk around the paper.
        spread = float(np.clip(2 * 1.4826 * np.median(np.abs(error)), 0.02, 0.15))
        weighted = terms.T / (1 + (error / spread) ** 2) ** 2
        coefficients, *_ = np.linalg.lstsq(weighted @ terms, weighted @ flat)
        surface = terms @ coefficients
    return sum(c * term for c, term in zip(coefficients, _quadratic(grey.shape), strict=True))


def _quadratic(shape: tuple[int, ...]) -> list[np.ndarray]:
    """1, x, y, x², xy and y² at the pixels' centres, each float32 [h or 1, w or 1]; x and y go from -1 to 1."""
    rows, columns = ((np.arange(n, dtype=np.float32) + np.float32(0.5)) / n * 2 - 1 for n in shape)
    y, x = rows[:, None], columns[None, :]
    return [np.ones_like(x), x, y, x * x, x * y, y * y]


def _cut_out(strength: np.ndarray, noise: float) -> tuple[np.ndarray, slice, slice]:
    """The digit, float32 [h, w] in [0, 1], without dust, lines and surroundings of the paper; its rows and columns."""
    found, count = ndimage.label(strength > max(0.25 * strength.max(), 4 * noise), np.ones((3, 3)))
    weights = ndimage.sum_labels(strength, found, np.arange(count + 1)) * (np.arange(count + 1) > 0)
    weights = _without_surroundings(weights, found)
    mask = (weights >= 0.05 * weights.max())[found]
    level = float(np.percentile(strength[mask], 90))
    box = ndimage.find_objects((mask & (strength > 0.4 * level)).astype(np.int8))[0]
    low = max(0.1 * level, 2 * noise)
    near = ndimage.binary_dilation(mask, iterations=2)
    ink = np.where(near, np.clip((strength - low) / (level - low), 0, 1), 0)
    return ink[box], *box


def _without_surroundings(weights: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The weights of parts, with zero for parts in a corner or from side to side: a desk, a shadow, a ruled line.

    In a tightly cut picture the digit may be such a part. So all are kept where the rest is no more than dust.
    """
    corners = found[[0, 0, -1, -1], [0, -1, 0, -1]]
    across = np.intersect1d(found[:, 0], found[:, -1]), np.intersect1d(found[0], found[-1])
    left = weights.copy()
    left[np.concatenate([corners, *across])] = 0
    parts = ndimage.find_objects(found)
    largest = max((max(found[parts[i - 1]].shape) for i in np.flatnonzero(left)), default=0)
    return left if largest > max(found.shape) / 50 else weights


def mnist_form(ink: np.ndarray) -> np.ndarray:
    """Ink on blank paper in the form of MNIST: uint8 [28, 28, 1], from 0 (paper) to 255 (ink).

    ink: [H, W], 0 is paper and the largest value full ink. The box around the ink is scaled to fit 20 x 20 pixels, and
    placed so that its centre of mass is nearest to (14, 14), by whole pixels. Blank paper gives zeros.
    The lesson's page has this function in JavaScript too, in `studies/lesson/live/form.js`: change both.
    """
    image = np.zeros((SIDE, SIDE, 1), np.uint8)
    if ink.any():
        digit = _scaled(_boxed(np.asarray(ink, np.float32)))
        top, left = _corner(digit)
        image[top : top + digit.shape[0], left : left + digit.shape[1], 0] = digit
    return image


def _boxed(ink: np.ndarray) -> np.ndarray:
    """The box around all pixels with ink."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(ink: np.ndarray) -> np.ndarray:
    """The digit scaled to fit 20 x 20 pixels: uint8 [h, w], its darkest pixel 255."""
    factor = BOX / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))
    return np.rint(255 * (small / small.max())).astype(np.uint8)


def _corner(digit: np.ndarray) -> list[int]:
    """The row and the column of the digit's first pixel in the image. Grey levels are whole, so ties are exact."""
    total = int(digit.sum(dtype=np.int64))
    moments = (digit.sum(axis=1, dtype=np.int64), digit.sum(axis=0, dtype=np.int64))
    centres = [int((sums * np.arange(len(sums))).sum()) / total for sums in moments]
    return [
        min(max(round(SIDE / 2 - centre), 0), SIDE - side) for centre, side in zip(centres, digit.shape, strict=True)
    ]
