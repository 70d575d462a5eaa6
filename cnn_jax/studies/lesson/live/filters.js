/* A filter of the first layer, whose numbers the reader changes, and what follows from them. */
Lesson.panels.filters = (place) => {
  const { state, tried, tiles, text, colours, shares, choices } = Lesson;
  const { name, size: [rows, columns], shape, largest, largest_weight: most } = tried.trained().layers[tried.FIRST];
  const filters = shape[2], cells = rows * columns;
  const presets = rows === 3 && columns === 3 ? { ...edges(), ...Lesson.data.letters.templates } : {};
  const presetNames = Object.keys(presets).map((preset) => [preset, preset]);

  place.innerHTML = `
    <fieldset class="choices"><legend>Filters of ${text.escaped(name)} ${colours.scale(most)}</legend>
      ${choices.pictures("radio", "filter", "filter", filters)}</fieldset>
    <div class="side">
      <div>
        <fieldset class="kernel" style="--columns: ${columns}"><legend></legend>${numberInputs()}</fieldset>
        <label class="line-of">Bias <input type="number" step="0.05" data-cell="${cells}"></label>
        <label class="line-of">Preset
          <select>${choices.options([["", "choose one"], ...presetNames])}</select></label>
        <p class="buttons">
          <button type="button" data-act="one">This filter as trained</button>
          <button type="button" data-act="all">Everything as trained</button></p>
      </div>
      <figure><canvas data-map="trained" role="img"></canvas><figcaption>Its map as trained</figcaption></figure>
      <figure><canvas data-map="now" role="img"></canvas>
        <figcaption>Its map now ${colours.scale(largest)}</figcaption></figure>
    </div>
    <div role="status"><p data-say="answer"></p><p data-say="score"></p></div>`;
  const inputs = [...place.querySelectorAll("[data-cell]")], select = place.querySelector("select");
  const behind = text.table("The map now as a table", mapRows);
  place.append(behind);
  select.parentElement.hidden = !presetNames.length;

  place.addEventListener("change", ({ target }) => {
    const { filter } = state.fields;
    if (target.name === "filter") state.set({ filter: Number(target.value) });
    else if (target === select) tried.setNumbers(filter, asStrong(presets[select.value].flat(), filter));
    else if (Number.isFinite(target.valueAsNumber)) setNumber(filter, target);
  });
  place.addEventListener("click", ({ target }) => {
    if (target.dataset.act === "one") tried.setNumbers(state.fields.filter, null);
    if (target.dataset.act === "all") tried.restore();
  });
  Lesson.scores.show(place.querySelector("[data-say=score]"));
  Lesson.lazily(place, ["filter", "networks"], ["seen"], () => {
    showNumbers(state.fields.filter);
    showMaps(state.fields);
  });

  function numberInputs() {
    const one = (_, cell) => `<input type="number" step="0.05" data-cell="${cell}"` +
      ` aria-label="row ${Math.floor(cell / columns)}, column ${cell % columns}">`;
    return Array.from({ length: cells }, one).join("");
  }

  /* Detectors of edges, and a blur. */
  function edges() {
    return {
      "edge between left and right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
      "edge between top and bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
      "outline": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
      "blur": [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
    };
  }

  /* A preset is as strong as the trained filter: the squares of its numbers have the same sum. The bias stays. */
  function asStrong(preset, filter) {
    const trained = tried.numbers(tried.trained(), filter), bias = trained.pop();
    return [...preset.map((number) => number * Math.hypot(...trained) / Math.hypot(...preset)), bias];
  }

  function setNumber(filter, { dataset, valueAsNumber }) {
    const numbers = tried.numbers(tried.now(), filter);
    numbers[dataset.cell] = valueAsNumber;
    tried.setNumbers(filter, numbers);
  }

  function showNumbers(filter) {
    const { kernel } = tried.now().layers[tried.FIRST], numbers = tried.numbers(tried.now(), filter);
    choices.tick(place, "filter", filter);
    place.querySelectorAll(".choices canvas").forEach((canvas, index) =>
      tiles.one(canvas, kernel, [rows, columns, filters], index, most));
    place.querySelector(".kernel legend").textContent = `The numbers of filter ${filter}`;
    inputs.forEach((input, cell) => {
      input.value = Number(numbers[cell].toFixed(3));
      if (cell < cells) input.style.cssText = colours.style(numbers[cell], most);
    });
    select.value = "";
  }

  function showMaps({ filter, seen, maps }) {
    const outputs = { trained: Lesson.network.run(tried.trained(), seen), now: maps[tried.index()] };
    for (const [when, found] of Object.entries(outputs)) {
      const canvas = place.querySelector(`[data-map=${when}]`);
      tiles.one(canvas, found[tried.FIRST].values, shape, filter, largest);
      canvas.setAttribute("aria-label", `Map of filter ${filter} ${when === "now" ? "now" : "as trained"}`);
    }
    const [before, after] = [outputs.trained, outputs.now].map(Lesson.network.probabilities).map(shares.answer);
    place.querySelector("[data-say=answer]").textContent =
      `Answer to the picture: ${before} as trained, ${after} now.`;
    text.fill(behind, mapRows);
  }

  function mapRows() {
    const { filter, maps } = state.fields, { values } = maps[tried.index()][tried.FIRST], [height, width] = shape;
    const number = (row, column) => text.number(values[(row * width + column) * filters + filter]);
    const row = (_, at) => [`row ${at}`, ...Array.from({ length: width }, (_, column) => number(at, column))];
    return [["", ...Array(width).keys()], ...Array.from({ length: height }, row)];
  }
};
