/* What each class is taken for. A cell opens its images, and an image goes onto the paper. */
Lesson.panels.confusion = (place) => {
  const { state, text, gallery, choices } = Lesson;
  const { confusion, answers, examples } = Lesson.data.gallery, { classes } = Lesson.data;
  const MOST = 40; // images of a cell that are shown

  place.innerHTML = `
    ${choices.radios("Network", "confusionOf", state.fields.networks.map(({ title }, index) => [index, title]))}
    <div class="side">
      <div class="wide matrix" tabindex="0" role="region" aria-label="Confusion matrix"><table></table></div>
      <div class="cell"><p role="status">Choose a cell.</p><div class="thumbs"></div></div>
    </div>`;
  const said = place.querySelector("[role=status]"), thumbs = place.querySelector(".thumbs");

  place.addEventListener("change", ({ target }) => state.set({ confusionOf: Number(target.value) }));
  place.addEventListener("click", ({ target }) => {
    const { cell, image } = target.closest("button")?.dataset ?? {};
    if (cell) state.set({ cell });
    if (image) put(Number(image));
  });
  state.subscribe(["confusionOf"], showMatrix);
  state.subscribe(["confusionOf", "cell"], showCell);

  function showMatrix({ confusionOf }) {
    choices.tick(place, "confusionOf", confusionOf);
    const headings = classes.map((name) => `<th scope="col">${text.escaped(name)}</th>`).join("");
    place.querySelector("table").innerHTML =
      `<caption>Numbers of ${examples.toLocaleString("en")} test images. Rows: class. Columns: answer.</caption>` +
      `<thead><tr><th></th>${headings}</tr></thead><tbody>${confusion[confusionOf].map(row).join("")}</tbody>`;
  }

  function row(counts, label) {
    const total = counts.reduce((sum, count) => sum + count, 0) || 1;
    const cells = counts.map((count, answer) => cellOf(count, label, answer, Math.sqrt(count / total)));
    return `<tr><th scope="row">${text.escaped(classes[label])}</th>${cells.join("")}</tr>`;
  }

  function cellOf(count, label, answer, shade) {
    if (!count) return "<td></td>";
    const words = `${count} of class ${text.escaped(classes[label])}, answer ${text.escaped(classes[answer])}`;
    return `<td style="--shade: ${shade.toFixed(2)}"${label === answer ? ' class="diagonal"' : ""}>` +
      `<button type="button" data-cell="${label},${answer}" aria-label="${words}">${count}</button></td>`;
  }

  function showCell({ confusionOf, cell }) {
    for (const button of place.querySelectorAll("[data-cell]")) {
      button.setAttribute("aria-pressed", button.dataset.cell === cell);
    }
    thumbs.replaceChildren();
    if (!cell) return;
    const [label, answer] = cell.split(",").map(Number), { labels } = gallery.all();
    const isOf = (at) => labels[at] === label && answers[confusionOf][at] === answer;
    const found = [...labels.keys()].filter(isOf).slice(0, MOST), count = confusion[confusionOf][label][answer];
    const some = found.length < count ? `; ${found.length} of them are on this page` : "";
    said.textContent = `${count} images of class ${classes[label]} with the answer ${classes[answer]}${some}. ` +
      "Choose one to put it on the paper.";
    thumbs.append(...found.map(thumb));
  }

  function thumb(at) {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    const { pixels, side, index } = gallery.drawing(at);
    [button.type, button.title, button.dataset.image] = ["button", `test image ${index}`, at];
    button.setAttribute("aria-label", `Put test image ${index} on the paper`);
    Lesson.tiles.ink(canvas, pixels, side);
    button.append(canvas);
    return button;
  }

  function put(at) {
    const drawing = gallery.drawing(at);
    state.set({ drawing });
    said.textContent = `Test image ${drawing.index} is on the paper now.`;
  }
};
