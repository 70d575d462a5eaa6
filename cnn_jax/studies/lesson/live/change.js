/* Pictures that are moved, turned, or drawn with another pen: the twin of `robustness.py`. Change both.

A picture is {height, width, pixels}, where 0 is paper and 255 is ink. */
Lesson.change = (() => {
  const NONE = { right: 0, down: 0, turn: 0, thickness: 0 };

  /* The value between pixels, bilinearly; 0 outside. */
  function between(picture, row, column) {
    const { height, width, pixels } = picture;
    const top = Math.floor(row), left = Math.floor(column);
    const lower = row - top, right = column - left;
    const at = (r, c) => (r >= 0 && r < height && c >= 0 && c < width ? pixels[r * width + c] : 0);
    return (1 - lower) * ((1 - right) * at(top, left) + right * at(top, left + 1)) +
      lower * ((1 - right) * at(top + 1, left) + right * at(top + 1, left + 1));
  }

  /* Turned clockwise about its centre, then moved. right, down: pixels. turn: degrees. */
  function moved(picture, { right, down, turn }) {
    const { height, width } = picture, pixels = new Float32Array(height * width);
    const cos = Math.cos(turn * Math.PI / 180), sin = Math.sin(turn * Math.PI / 180);
    const middleRow = (height - 1) / 2, middleColumn = (width - 1) / 2;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const r = row - down - middleRow, c = column - right - middleColumn;
        pixels[row * width + column] =
          between(picture, cos * r - sin * c + middleRow, sin * r + cos * c + middleColumn);
      }
    }
    return { height, width, pixels };
  }

  /* The largest or smallest of the 3 x 3 pixels around each one. */
  function extreme(picture, choose) {
    const { height, width } = picture;
    const along = (pixels, step, count, position) => pixels.map((value, index) => {
      const place = position(index);
      const before = place > 0 ? pixels[index - step] : value, after = place < count - 1 ? pixels[index + step] : value;
      return choose(before, value, after);
    });
    const columns = along(picture.pixels, 1, width, (index) => index % width);
    return along(columns, width, height, (index) => Math.floor(index / width));
  }

  /* Light strokes thicker, or thinner where the amount is negative; from -1 to 1. */
  function thickened(picture, amount) {
    const other = extreme(picture, amount > 0 ? Math.max : Math.min), share = Math.abs(amount);
    const pixels = Float32Array.from(picture.pixels, (value, index) => value + share * (other[index] - value));
    return { ...picture, pixels };
  }

  /* The picture after changes, of which those that are left out are none. */
  function apply(picture, changes) {
    const all = { ...NONE, ...changes };
    const isMoved = all.right || all.down || all.turn;
    const result = isMoved ? moved(picture, all) : picture;
    return all.thickness ? thickened(result, all.thickness) : result;
  }

  return { NONE, apply };
})();
