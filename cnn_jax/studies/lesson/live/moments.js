/* Moments of one training on this picture: filters, maps and answers before the first step, at the end, and between. */
Lesson.panels.moments = (place) => {
  const { state, tiles, text, colours, shares, tried, choices } = Lesson;
  const { moments, examples, batch_size: batch } = Lesson.data.moments;
  const networks = Lesson.training.networks(), { layers } = tried.trained(), first = layers[tried.FIRST];
  const convolutions = layers.flatMap(({ kind, name }, index) => (kind === "convolution" ? [[index, name]] : []));
  const largest = Math.max(...networks.map(largestWeight)), count = Lesson.data.gallery.sample;
  let answers = [];

  place.innerHTML = `
    ${choices.radios("After", "moment", moments.map(({ step }, index) => [index, `${step} steps`]))}
    <p role="status"></p>
    <div class="side">
      <figure><canvas class="mosaic" data-filters role="img"></canvas>
        <figcaption>The ${first.shape[2]} filters of ${text.escaped(first.name)} ${colours.scale(largest)}</figcaption></figure>
      <figure><canvas class="mosaic" data-maps role="img"></canvas>
        <figcaption><label>Maps of the picture by <select>${choices.options(convolutions)}</select></label>
          <span data-scale></span></figcaption></figure>
      <div data-bars></div>
    </div>`;
  const behind = text.table("All moments as a table", tableRows);
  place.append(behind);

  place.addEventListener("change", ({ target }) => {
    if (target.name === "moment") state.set({ moment: Number(target.value) });
    else state.set({ momentLayer: Number(target.value) });
  });
  Lesson.lazily(place, ["moment", "momentLayer"], ["seen"], (fields) => {
    const outputs = networks.map((network) => Lesson.network.run(network, fields.seen));
    answers = outputs.map(Lesson.network.probabilities);
    say(fields);
    paint(fields, outputs[fields.moment]);
    text.fill(behind, tableRows);
  });

  function largestWeight({ layers: own }) {
    return own[tried.FIRST].kernel.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
  }

  function say({ moment, momentLayer }) {
    const { step, accuracy } = moments[moment], images = Math.min(step * batch, examples).toLocaleString("en");
    choices.tick(place, "moment", moment);
    place.querySelector("select").value = momentLayer;
    place.querySelector("[role=status]").textContent = `After ${step} steps it has seen ${images} images. It answers ` +
      `${shares.answer(answers[moment])}. Of ${count} test images, ${Math.round(accuracy * count)} are right.`;
    place.querySelector("[data-bars]").innerHTML =
      shares.bars(answers[moment].map((share, label) => [Lesson.data.classes[label], share]));
  }

  function paint({ moment, momentLayer }, maps) {
    const { step } = moments[moment], layer = layers[momentLayer], { kernel } = networks[moment].layers[tried.FIRST];
    const filters = place.querySelector("[data-filters]"), canvas = place.querySelector("[data-maps]");
    tiles.all(filters, kernel, [...first.size, first.shape[2]], largest);
    filters.setAttribute("aria-label", `Filters of ${first.name} after ${step} steps`);
    tiles.all(canvas, maps[momentLayer].values, layer.shape, layer.largest);
    canvas.setAttribute("aria-label", `Maps of ${layer.name} after ${step} steps`);
    place.querySelector("[data-scale]").innerHTML = colours.scale(layer.largest);
  }

  function tableRows() {
    const row = ({ step, accuracy }, index) => [step, shares.answer(answers[index]), Math.round(accuracy * count)];
    return [["steps", "answer to the picture", `right of ${count}`], ...moments.map(row)];
  }
};
