/* The paper: the reader draws on it, or puts a picture onto it. It shows what the unit that is looked at sees. */
Lesson.panels.canvas = (place) => {
  const { state } = Lesson;
  place.innerHTML = `
    <canvas class="paper" width="560" height="560" tabindex="0" role="img" aria-label="Paper to draw on"></canvas>
    <p class="buttons">
      <button type="button" data-act="clear">Clear</button>
      <button type="button" data-act="undo">Undo</button>
      <label class="button">Choose a picture<input type="file" accept="image/*" class="hidden"></label>
    </p>
    <p class="buttons examples" role="group" aria-label="Test images"></p>
    <p class="said" role="status"></p>`;
  const paper = place.querySelector("canvas"), said = place.querySelector(".said");
  const file = place.querySelector("input"), examples = place.querySelector(".examples");
  let stroke = null;

  paper.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return; // a second finger draws nothing
    paper.setPointerCapture(event.pointerId);
    stroke = [];
    extend(event);
  });
  paper.addEventListener("pointermove", (event) => {
    if (stroke && event.isPrimary) extend(event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    paper.addEventListener(end, () => {
      stroke = null;
    });
  }

  /* Adds the pointer's place to the stroke. The first stroke replaces a picture. */
  function extend(event) {
    const edges = paper.getBoundingClientRect(), strokes = strokesOf(state.fields.drawing);
    const earlier = stroke.length ? strokes.slice(0, -1) : strokes;
    const point = [share(event.clientX - edges.left, edges.width), share(event.clientY - edges.top, edges.height)];
    stroke = [...stroke, ...point];
    draw([...earlier, stroke]);
  }

  const share = (place, size) => Math.round(1000 * Math.min(Math.max(place / size, 0), 1)) / 1000;
  const strokesOf = (drawing) => (drawing.kind === "strokes" ? drawing.strokes : []);

  function draw(strokes) {
    said.textContent = "";
    state.set({ drawing: { kind: "strokes", strokes } });
  }

  place.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    if (button.dataset.act === "clear") draw([]);
    if (button.dataset.act === "undo") draw(strokesOf(state.fields.drawing).slice(0, -1));
    if (button.dataset.example) {
      said.textContent = "";
      state.set({ drawing: Lesson.data.examples[button.dataset.example] });
    }
  });

  file.addEventListener("change", () => {
    take(file.files[0]);
    file.value = "";
  });
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  // A paste goes to the document wherever the reader has clicked last.
  document.addEventListener("paste", (event) => {
    if (!event.target.closest("input, textarea")) take(event.clipboardData.files[0]);
  });

  async function take(chosen) {
    try {
      const drawing = await Lesson.file.drawing(chosen);
      said.textContent = "";
      state.set({ drawing });
    } catch (error) {
      said.textContent = error.message;
    }
  }

  function offerExamples() {
    examples.textContent = "Test images: ";
    Lesson.data.examples.forEach(({ label }, index) => {
      const button = document.createElement("button");
      [button.type, button.dataset.example, button.textContent] = ["button", index, Lesson.data.classes[label]];
      examples.append(button, " ");
    });
  }

  function show({ steps, networks }) {
    const { network, layer, unit } = state.looked();
    Lesson.picture.ink(paper, steps.ink.pixels, steps.ink.side);
    if (steps.box) frame(steps, Lesson.regions.field(networks[network], layer, unit));
  }

  /* The field of a unit, from the pixels of the network's picture back to those of the paper. */
  function frame({ ink, box, digit, corner }, field) {
    const zoom = paper.width / ink.side, down = box.height / digit.height, across = box.width / digit.width;
    const left = box.left + (field.left - corner[1]) * across, top = box.top + (field.top - corner[0]) * down;
    Lesson.picture.box(paper, left * zoom, top * zoom,
      (field.right - field.left) * across * zoom, (field.bottom - field.top) * down * zoom);
  }

  offerExamples();
  state.subscribe(["steps", "network", "layer", "unit", "pointed"], show);
  state.subscribe(["maps"], ({ maps }) => {
    const answer = maps.find(Boolean);
    if (!answer) return;
    const shares = Lesson.network.probabilities(answer), best = shares.indexOf(Math.max(...shares));
    paper.setAttribute("aria-label", `Paper to draw on. The first network reads ${Lesson.data.classes[best]}.`);
  });
};
