/* Ink on paper: a drawing becomes {side, pixels: Uint8Array [side * side]}, 0 is paper and 255 is ink.

Strokes are drawn here and not by the browser, so that a link to a drawing gives the same numbers everywhere. */
Lesson.ink = (() => {
  const SIDE = 280; // pixels, of the paper
  const PEN = 11; // pixels, half the width of a stroke: after scaling to 20 x 20, as thick as MNIST's

  function of(drawing) {
    if (drawing.kind === "pixels") return { side: drawing.side, pixels: drawing.pixels };
    const pixels = new Uint8Array(SIDE * SIDE);
    for (const stroke of drawing.strokes) drawStroke(pixels, stroke.map((share) => share * SIDE));
    return { side: SIDE, pixels };
  }

  function drawStroke(pixels, points) {
    if (points.length === 2) drawLine(pixels, ...points, ...points);
    for (let index = 2; index < points.length; index += 2) drawLine(pixels, ...points.slice(index - 2, index + 2));
  }

  /* Darkens the pixels by their distance from the line; the edge is one pixel wide. */
  function drawLine(pixels, x0, y0, x1, y1) {
    const reach = PEN + 1, within = (place) => Math.min(Math.max(Math.floor(place), 0), SIDE - 1);
    for (let row = within(Math.min(y0, y1) - reach); row <= within(Math.max(y0, y1) + reach); row++) {
      for (let column = within(Math.min(x0, x1) - reach); column <= within(Math.max(x0, x1) + reach); column++) {
        const darkness = PEN + 0.5 - distance(column + 0.5, row + 0.5, x0, y0, x1, y1);
        const level = Math.round(255 * Math.min(Math.max(darkness, 0), 1)), index = row * SIDE + column;
        if (level > pixels[index]) pixels[index] = level;
      }
    }
  }

  function distance(x, y, x0, y0, x1, y1) {
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    const share = length ? Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) / length, 0), 1) : 0;
    return Math.sqrt((x - x0 - share * dx) ** 2 + (y - y0 - share * dy) ** 2);
  }

  return { of };
})();
