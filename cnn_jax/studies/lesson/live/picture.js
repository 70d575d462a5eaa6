/* Numbers as pictures on a canvas: ink, maps beside each other, and frames around parts of them. */
Lesson.picture = (() => {

  /* Paints ink black on white paper. pixels: 255 is ink. */
  function ink(canvas, pixels, width) {
    const image = new ImageData(width, pixels.length / width), colours = new Uint32Array(image.data.buffer);
    pixels.forEach((level, index) => {
      const light = 255 - level;
      colours[index] = ((255 << 24) | (light << 16) | (light << 8) | light) >>> 0;
    });
    paint(canvas, image);
  }

  /* Paints an image as large as the canvas, each pixel as a square. */
  function paint(canvas, image) {
    const small = document.createElement("canvas"), context = canvas.getContext("2d");
    [small.width, small.height] = [image.width, image.height];
    small.getContext("2d").putImageData(image, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  /* How the maps of a layer of this shape stand beside each other: {height, width, count, columns, rows, gap}, where
  heights, widths and gaps are in units. */
  function layout(shape) {
    const [height, width, count] = Lesson.arithmetic.layered(shape);
    const columns = count <= 10 ? count : 2 ** Math.round(Math.log2(Math.sqrt(2 * count)));
    return { height, width, count, columns, rows: Math.ceil(count / columns), gap: height * width > 1 ? 1 : 0 };
  }

  /* Width and height of all maps together, in units. */
  function size({ height, width, columns, rows, gap }) {
    return [columns * (width + gap) - gap, rows * (height + gap) - gap];
  }

  /* All maps of a layer as an image, a pixel for each unit. */
  function mosaic(values, places, largest) {
    const [across, down] = size(places), image = new ImageData(across, down);
    const colours = new Uint32Array(image.data.buffer);
    const { height, width, count, columns, gap } = places;
    for (let map = 0; map < count; map++) {
      const top = Math.floor(map / columns) * (height + gap), left = (map % columns) * (width + gap);
      for (let at = 0; at < height * width; at++) {
        const to = (top + Math.floor(at / width)) * across + left + (at % width);
        colours[to] = Lesson.colours.pixel(values[at * count + map], largest);
      }
    }
    return image;
  }

  /* The numbers of one map, row after row. */
  function mapOf([height, width, count], values, map) {
    return Array.from({ length: height * width }, (_, at) => values[at * count + map]);
  }

  /* The unit [row, column, map] at a point of the mosaic, given in units; null between maps. */
  function unitAt({ height, width, count, columns, gap }, x, y) {
    const map = Math.floor(y / (height + gap)) * columns + Math.floor(x / (width + gap));
    const row = Math.floor(y % (height + gap)), column = Math.floor(x % (width + gap));
    const isInside = x >= 0 && y >= 0 && x < columns * (width + gap);
    return isInside && map < count && row < height && column < width ? [row, column, map] : null;
  }

  /* Draws frames around a region of a map, or of all maps where `map` is null. zoom: canvas pixels for a unit. */
  function frame(canvas, places, region, map, zoom) {
    const { height, width, count, columns, gap } = places;
    for (let each = map === null ? 0 : map; each < (map === null ? count : map + 1); each++) {
      const top = Math.floor(each / columns) * (height + gap), left = (each % columns) * (width + gap);
      box(canvas, (left + region.left) * zoom, (top + region.top) * zoom,
        (region.right - region.left) * zoom, (region.bottom - region.top) * zoom);
    }
  }

  /* A box that is seen on ink and on paper: dark lines with a light one between them. */
  function box(canvas, left, top, width, height) {
    const context = canvas.getContext("2d");
    for (const [colour, line] of [["#000000", 4], ["#ffd500", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.strokeRect(left, top, width, height);
    }
  }

  return { ink, paint, layout, size, mosaic, mapOf, unitAt, frame, box };
})();
