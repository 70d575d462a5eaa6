/* A picture file, pasted, dropped or chosen, as a drawing. */
Lesson.file = (() => {
  const SIDE = 112; // pixels that are kept of each side: four for each of MNIST's
  const LARGEST = 50e6; // pixels; a larger picture is not decoded, as in `cnn_jax/data/pictures.py`
  const FAINT = 0.25, FULL = 0.9; // shares of the strongest ink: up to here it is paper, and from here full ink
  const LEAST = 20; // grey levels between ink and paper

  /* A promise of the drawing. It is rejected with an Error whose text is for the reader. */
  async function drawing(file) {
    if (!file) throw new Error("There is no picture in it. Copy a picture, or choose a file.");
    if (!file.size) throw new Error(`${file.name} is empty: it has 0 bytes. Choose another file.`);
    return { kind: "pixels", side: SIDE, pixels: inkOf(greyOf(await decoded(file))) };
  }

  async function decoded(file) {
    const image = new Image(), address = URL.createObjectURL(file);
    try {
      await new Promise((done, failed) => {
        [image.onload, image.onerror, image.src] = [done, failed, address];
      });
    } catch {
      throw new Error(`${file.name} is no picture that this browser can read. Choose a PNG, JPEG or WebP file.`);
    } finally {
      URL.revokeObjectURL(address);
    }
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    if (width * height <= LARGEST) return image;
    const size = `${width.toLocaleString("en")} x ${height.toLocaleString("en")} pixels`;
    throw new Error(`${file.name} has ${size}, which are over 50 million. Choose a smaller picture.`);
  }

  /* The picture in the middle of a square, its brightness from 0 to 255; NaN around it and where it is transparent. */
  function greyOf(image) {
    const canvas = new OffscreenCanvas(SIDE, SIDE), context = canvas.getContext("2d", { willReadFrequently: true });
    const factor = SIDE / Math.max(image.naturalWidth, image.naturalHeight);
    const [width, height] = [image.naturalWidth, image.naturalHeight].map((size) => Math.ceil(size * factor));
    context.imageSmoothingQuality = "high";
    context.drawImage(image, Math.floor((SIDE - width) / 2), Math.floor((SIDE - height) / 2), width, height);
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    return Array.from({ length: SIDE * SIDE }, (_, index) => {
      const [red, green, blue, alpha] = data.subarray(4 * index, 4 * index + 4);
      return alpha < 128 ? NaN : 0.299 * red + 0.587 * green + 0.114 * blue;
    });
  }

  /* Ink is darker or lighter than the paper, whichever is rarer; the paper is what most pixels are. */
  function inkOf(grey) {
    const paper = middle(grey.filter((level) => !Number.isNaN(level)));
    const darker = grey.map((level) => (Number.isNaN(level) ? 0 : paper - level));
    const strength = (sign) => darker.reduce((sum, value) => sum + Math.max(sign * value, 0) ** 2, 0);
    const sign = strength(1) >= strength(-1) ? 1 : -1;
    const ink = darker.map((value) => sign * value), most = Math.max(...ink);
    const level = (value) => Math.min(Math.max((value / most - FAINT) / (FULL - FAINT), 0), 1);
    if (!(most >= LEAST)) throw new Error("The picture is blank: no ink stands out from the paper.");
    return Uint8Array.from(ink, (value) => Math.round(255 * level(value)));
  }

  const middle = (values) => values.sort((one, other) => one - other)[Math.floor(values.length / 2)];

  return { drawing };
})();
