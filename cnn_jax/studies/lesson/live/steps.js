/* MNIST's form as steps: the drawing, the box around its ink, 20 x 20 pixels, and the picture that the networks see. */
Lesson.panels.steps = (place) => {
  const { state, picture } = Lesson;
  const NAMES = ["drawn", "box", "digit", "seen"];
  place.innerHTML = `
    <p><label><input type="checkbox" name="form"> bring the drawing to MNIST's form</label></p>
    <div class="steps">${NAMES.map((name) => `<figure data-step="${name}">
      <canvas width="224" height="224" role="img"></canvas><figcaption></figcaption></figure>`).join("")}</div>`;
  const box = place.querySelector("input");
  const canvases = Object.fromEntries(NAMES.map((name) => [name, place.querySelector(`[data-step=${name}] canvas`)]));

  box.addEventListener("change", () => state.set({ inForm: box.checked }));

  state.subscribe(["steps"], ({ steps, inForm }) => {
    box.checked = inForm;
    box.disabled = !Lesson.data.mnist_form;
    show(steps, steps.isFormed);
  });

  function show(steps, inForm) {
    const { ink, box: found, digit, corner, seen } = steps, width = state.fields.networks[0].layers[0].shape[1];
    picture.ink(canvases.drawn, ink.pixels, ink.side);
    say("drawn", `1. The drawing: ${ink.side} x ${ink.side} pixels.`);
    for (const name of ["box", "digit"]) place.querySelector(`[data-step=${name}]`).hidden = !inForm || !found;
    if (inForm && found) {
      showBox(ink, found);
      showDigit(digit);
    }
    picture.ink(canvases.seen, seen, width);
    if (inForm && found) mark(digit, corner, width);
    const height = seen.length / width;
    say("seen", !found ? "The paper is blank." : inForm
      ? `4. In ${height} x ${width} pixels, from row ${corner[0]} and column ${corner[1]} on, so that the centre of ` +
        "mass (cross) is nearest to the middle. This is what the networks see."
      : `2. The whole paper in ${height} x ${width} pixels. This is what the networks see.`);
  }

  function showBox(ink, found) {
    picture.ink(canvases.box, ink.pixels, ink.side);
    const zoom = canvases.box.width / ink.side;
    picture.box(canvases.box, found.left * zoom, found.top * zoom, found.width * zoom, found.height * zoom);
    say("box", `2. The box around the ink: ${found.height} x ${found.width} pixels.`);
  }

  function showDigit({ height, width, pixels }) {
    const square = new Uint8Array(400);
    for (let row = 0; row < height; row++) square.set(pixels.subarray(row * width, (row + 1) * width), row * 20);
    picture.ink(canvases.digit, square, 20);
    say("digit", `3. The box scaled to fit 20 x 20 pixels: ${height} x ${width}, its darkest pixel black.`);
  }

  /* A cross at the centre of mass. */
  function mark({ width, pixels }, [top, left], across) {
    let total = 0, rows = 0, columns = 0;
    pixels.forEach((level, index) => {
      total += level;
      rows += level * Math.floor(index / width);
      columns += level * (index % width);
    });
    const zoom = canvases.seen.width / across, context = canvases.seen.getContext("2d");
    const [x, y] = [(left + columns / total + 0.5) * zoom, (top + rows / total + 0.5) * zoom];
    for (const [colour, line] of [["#000000", 4], ["#ffd500", 2]]) {
      [context.strokeStyle, context.lineWidth] = [colour, line];
      context.beginPath();
      context.moveTo(x - 10, y);
      context.lineTo(x + 10, y);
      context.moveTo(x, y - 10);
      context.lineTo(x, y + 10);
      context.stroke();
    }
  }

  function say(name, words) {
    place.querySelector(`[data-step=${name}] figcaption`).textContent = words;
    canvases[name].setAttribute("aria-label", words);
  }
};
