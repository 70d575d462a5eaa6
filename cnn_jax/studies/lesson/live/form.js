/* MNIST's form, as steps: the twin of `mnist_form` in `cnn_jax/data/mnist_form.py`. Change both.

The box around the ink is scaled to fit 20 x 20 pixels, and placed in 28 x 28 so that its centre of mass is nearest to
the middle. Numbers are rounded as in Python and scaled as in Pillow, so that both give the same pixels. */
Lesson.form = (() => {
  const SIDE = 28, BOX = 20;

  /* The steps for ink {side, pixels}: {box: {top, left, height, width}, digit: {height, width, pixels}, corner: [row,
  column], seen: Uint8Array [28 * 28]}. Of blank paper there is only `seen`. */
  function steps({ side, pixels }) {
    const box = inkBox(pixels, side), seen = new Uint8Array(SIDE * SIDE);
    if (!box) return { seen };
    const digit = scaled(pixels, side, box);
    const corner = cornerOf(digit);
    place(digit, corner, seen);
    return { box, digit, corner, seen };
  }

  /* Without MNIST's form: the whole paper in the size of the network's pictures. */
  function whole({ side, pixels }, [height, width]) {
    const box = { top: 0, left: 0, height: side, width: side };
    const digit = { height, width, pixels: levels(resized(pixels, side, box, height, width), 255) };
    return { box, digit, corner: [0, 0], seen: digit.pixels };
  }

  function inkBox(pixels, side) {
    let top = side, bottom = -1, left = side, right = -1;
    pixels.forEach((level, index) => {
      if (!level) return;
      const row = Math.floor(index / side), column = index % side;
      top = Math.min(top, row);
      bottom = Math.max(bottom, row);
      left = Math.min(left, column);
      right = Math.max(right, column);
    });
    return bottom < 0 ? null : { top, left, height: bottom - top + 1, width: right - left + 1 };
  }

  function scaled(pixels, side, box) {
    const factor = BOX / Math.max(box.height, box.width);
    const height = Math.max(1, rounded(box.height * factor)), width = Math.max(1, rounded(box.width * factor));
    const small = resized(pixels, side, box, height, width);
    return { height, width, pixels: levels(small, small.reduce((most, value) => Math.max(most, value), 0)) };
  }

  /* Whole grey levels, of which `full` becomes 255. */
  function levels(values, full) {
    return Uint8Array.from(values, (value) => rounded(Math.fround(255 * Math.fround(value / full))));
  }

  /* A part of a picture in another size, by a triangle as wide as two pixels of the result, or of the picture where it
  grows: Float32Array [height * width]. Rows first, then columns. */
  function resized(pixels, side, box, height, width) {
    const across = triangles(box.width, width), down = triangles(box.height, height);
    const narrow = new Float32Array(box.height * width), result = new Float32Array(height * width);
    for (let row = 0; row < box.height; row++) {
      const start = (box.top + row) * side + box.left;
      across.forEach(({ first, weights }, column) => {
        narrow[row * width + column] =
          weights.reduce((sum, weight, at) => sum + weight * pixels[start + first + at], 0);
      });
    }
    down.forEach(({ first, weights }, row) => {
      for (let column = 0; column < width; column++) {
        result[row * width + column] =
          weights.reduce((sum, weight, at) => sum + weight * narrow[(first + at) * width + column], 0);
      }
    });
    return result;
  }

  /* For each pixel of the result the first pixel that it reads, and the weights of that and the following ones. */
  function triangles(size, count) {
    const scale = size / count, reach = Math.max(scale, 1);
    return Array.from({ length: count }, (_, index) => {
      const centre = (index + 0.5) * scale;
      const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
      const last = Math.min(Math.trunc(centre + reach + 0.5), size);
      const weights = Array.from({ length: last - first }, (_, at) =>
        Math.max(1 - Math.abs((first + at - centre + 0.5) / reach), 0));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return { first, weights: weights.map((weight) => weight / total) };
    });
  }

  function cornerOf({ height, width, pixels }) {
    let total = 0, rows = 0, columns = 0;
    pixels.forEach((level, index) => {
      total += level;
      rows += level * Math.floor(index / width);
      columns += level * (index % width);
    });
    const corner = (moment, size) => Math.min(Math.max(rounded(SIDE / 2 - moment / total), 0), SIDE - size);
    return [corner(rows, height), corner(columns, width)];
  }

  function place(digit, [top, left], image) {
    for (let row = 0; row < digit.height; row++) {
      image.set(digit.pixels.subarray(row * digit.width, (row + 1) * digit.width), (top + row) * SIDE + left);
    }
  }

  /* Rounds halves to even numbers, as Python does. */
  function rounded(value) {
    const whole = Math.floor(value), rest = value - whole;
    return rest > 0.5 || (rest === 0.5 && whole % 2) ? whole + 1 : whole;
  }

  return { steps, whole, SIDE };
})();
