/* Maps of a layer, each on a canvas or all on one; and images of ink. */
Lesson.tiles = (() => {
  const { picture } = Lesson;

  /* One map of an array [height, width, count]. */
  function one(canvas, values, [height, width, count], map, largest) {
    all(canvas, values.filter((_, index) => index % count === map), [height, width, 1], largest);
  }

  function all(canvas, values, shape, largest) {
    show(canvas, picture.mosaic(values, picture.layout(shape), largest));
  }

  function show(canvas, image) {
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function ink(canvas, pixels, width) {
    [canvas.width, canvas.height] = [width, pixels.length / width];
    picture.ink(canvas, pixels, width);
  }

  return { one, all, ink };
})();
