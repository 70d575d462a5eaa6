"""A digit in somebody's own picture, made into what MNIST's images are: light ink on black, centred, 28 x 28.

MNIST's digits were scaled to fit 20 x 20 pixels with their aspect kept, and placed in 28 x 28 by their centre of mass
(LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, section III.A). What comes before that
here is for pictures that nobody has prepared: uneven light, noise, dust, and a digit anywhere on a page.
"""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from cnn_jax.errors import InputError

LARGEST = 50_000_000  # pixels of a picture that is decoded; a photograph has some 12 million
SIDE, BOX = 28, 20  # of an image and of the digit in it
_WORKING_SIDE = 1600  # larger pictures are averaged down to it: a digit of a fiftieth of the page keeps 32 pixels
_SURFACE_SIDE = 64  # what the paper's brightness is fitted on
_FAINTEST = 0.08  # ink differs from its paper by this share of the way from black to white, or it is none
_NOISE_STEPS = 7.0  # and by so many standard deviations of the noise; the largest of a million is at five


class UnusablePicture(InputError):
    """A picture in which no digit can be read. The text is the reason, without the file's name."""


def read(path: Path) -> np.ndarray:
    """A PNG or JPEG file as colours: uint8 [H, W, 3], upright as its EXIF has it, nothing transparent any more.

    Raises UnusablePicture where the file is none, is damaged or has over 50 million pixels, which are not decoded.
    """
    try:
        if path.stat().st_size == 0:
            raise UnusablePicture("the file is empty")
        # What Pillow warns of is either refused below or does not change the picture.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > LARGEST:
                raise UnusablePicture(f"{image.width:,} x {image.height:,} pixels are over {LARGEST // 10**6} million")
            return _colours(ImageOps.exif_transpose(image))
    except UnusablePicture:
        raise
    except Image.DecompressionBombError:
        raise UnusablePicture(f"the picture has over {LARGEST // 10**6} million pixels") from None
    except Image.UnidentifiedImageError:
        raise UnusablePicture("neither a PNG nor a JPEG picture") from None
    except PermissionError:
        raise UnusablePicture("no permission to read it") from None
    except Exception as error:  # decoders answer a stranger's bytes with errors of many types
        raise UnusablePicture(f"truncated or damaged ({str(error) or type(error).__name__})") from None


def _colours(image: Image.Image) -> np.ndarray:
    """Any mode as uint8 [H, W, 3]."""
    if image.mode.startswith(("I", "F")):  # 16 bits, of which a scanner may use 12: the largest value is white
        values = np.asarray(image, np.float32)
        grey = values * np.float32(255 / max(values.max(), 255))
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        return _on_paper(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _on_paper(pixels: np.ndarray) -> np.ndarray:
    """Puts something behind transparent pixels: uint8 [H, W, 4] -> [H, W, 3].

    A picture with paper and ink of its own gets more of the paper; ink on nothing gets what differs from it most.
    """
    alpha = pixels[..., 3:].astype(np.float32) / 255
    greys = pixels[..., :3].mean(axis=2)[pixels[..., 3] > 127]
    if not greys.size:
        paper = 255.0
    elif 2 * greys.size > alpha.size and np.ptp(np.percentile(greys, (2, 98))) > 50:
        paper = float(np.median(greys))
    else:
        paper = 0.0 if greys.mean() > 127 else 255.0
    return np.rint(alpha * pixels[..., :3] + (1 - alpha) * paper).astype(np.uint8)


def as_mnist(pixels: np.ndarray) -> np.ndarray:
    """The digit in a picture as MNIST has its digits: uint8 [28, 28, 1], 255 where ink is, 0 where none is.

    pixels: uint8 [H, W, 3], colours; dark on light or light on dark. Raises UnusablePicture where there is no ink.
    """
    grey = _grey(pixels)
    digit, rows, columns = _digit(*_strength(grey))
    if _is_sheet(digit):
        edge = max(2, max(digit.shape) // 40)  # where the sheet and what it lies on mix
        digit, _, _ = _digit(*_strength(grey[rows, columns][edge:-edge, edge:-edge]))
    return _placed(_scaled(digit))


def _is_sheet(digit: np.ndarray) -> bool:
    """Whether this is rather a sheet on something darker, or lighter: as good as full, and no bar as a one may be."""
    return bool(min(digit.shape) > SIDE and 2 * min(digit.shape) > max(digit.shape) and (digit > 0.5).mean() > 0.8)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Brightness, float32 [h, w] in [0, 1], of at most the working size."""
    image = Image.fromarray(pixels).convert("L")
    factor = -(-max(image.size) // _WORKING_SIDE)
    return np.asarray(image.reduce(factor), np.float32) / 255


def _strength(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """How far each pixel is from the paper on the ink's side: float32 [h, w], about 0 on paper; and the noise of that.

    The rarer side is the ink. Raises UnusablePicture where nothing stands out.
    """
    difference = grey - _paper(grey)
    blur = max(grey.shape) / 2000
    smooth = ndimage.gaussian_filter(difference, blur)
    noise = _noise(grey) * min(1.0, 1 / (2 * np.sqrt(np.pi) * blur))  # as blurring leaves of white noise
    beyond = np.sign(smooth) * np.maximum(np.abs(smooth) - 3 * noise, 0) ** 2
    strength = smooth if beyond.sum() > 0 else -smooth
    if strength.max() < max(_FAINTEST, _NOISE_STEPS * noise):
        raise UnusablePicture("blank: no ink stands out from the paper")
    return strength, noise


def _noise(grey: np.ndarray) -> float:
    """The noise's standard deviation, from differences between neighbours: edges of ink are few among them."""
    steps = np.abs(np.diff(grey, axis=0)), np.abs(np.diff(grey, axis=1))
    noise = 1.4826 / np.sqrt(2) * float(np.median(np.concatenate([step.ravel() for step in steps] + [[0.0]])))
    is_clipped = float(((grey == 0) | (grey == 1)).mean()) > 0.25
    return noise / 0.43 if is_clipped else noise  # half of it is cut off there; 0.43: what is left of the median


def _paper(grey: np.ndarray) -> np.ndarray:
    """The paper's brightness under uneven light: a quadratic surface through most pixels, whatever the others are.

    Iteratively reweighted least squares with Geman and McClure's weights, from the median on.
    """
    small = Image.fromarray(grey)
    small.thumbnail((_SURFACE_SIDE, _SURFACE_SIDE), Image.Resampling.BOX)
    values = np.asarray(small)
    flat = values.ravel()
    terms = np.stack([np.broadcast_to(term, values.shape).ravel() for term in _quadratic(values.shape)], axis=1)
    surface = np.full_like(flat, np.median(flat))
    for _ in range(20):
        error = flat - surface
        # No wider than uneven light goes from one place to the next, or the surface would bend to a desk's too.
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


def _digit(strength: np.ndarray, noise: float) -> tuple[np.ndarray, slice, slice]:
    """The digit cut out, float32 [h, w] in [0, 1], without dust, lines, and what lies around the paper; and where."""
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
    """The weights of parts, zero for those in a corner or from side to side: a desk, a shadow, a ruled line.

    A digit may do that too, where a picture was cut tightly; so all stay where what is left is no more than dust.
    """
    corners = found[[0, 0, -1, -1], [0, -1, 0, -1]]
    across = np.intersect1d(found[:, 0], found[:, -1]), np.intersect1d(found[0], found[-1])
    left = weights.copy()
    left[np.concatenate([corners, *across])] = 0
    parts = ndimage.find_objects(found)
    largest = max((max(found[parts[i - 1]].shape) for i in np.flatnonzero(left)), default=0)
    return left if largest > max(found.shape) / 50 else weights


def _scaled(ink: np.ndarray) -> np.ndarray:
    """The digit at the size that fits 20 x 20: float32 [h, w], its darkest pixel 1."""
    factor = BOX / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))
    return small / small.max()


def _placed(digit: np.ndarray) -> np.ndarray:
    """The digit in an image, uint8 [28, 28, 1], its centre of mass as near to pixel (14, 14) as whole pixels allow."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    corner = [
        int(np.clip(round(SIDE / 2 - centre), 0, SIDE - side))
        for centre, side in zip(ndimage.center_of_mass(digit), digit.shape, strict=True)
    ]
    image[corner[0] : corner[0] + digit.shape[0], corner[1] : corner[1] + digit.shape[1]] = np.rint(255 * digit)
    return image[..., None]
