/* The picture moved, turned, and drawn with another pen: how sure each network stays of the right class. */
Lesson.panels.changes = (place) => {
  const { state, text, curves, shares, choices } = Lesson;
  const { amounts, means, examples } = Lesson.data.robustness;
  const SLIDERS = {
    right: { title: "right", unit: "pixels to the right", least: -8, most: 8, step: 1 },
    down: { title: "down", unit: "pixels down", least: -8, most: 8, step: 1 },
    turn: { title: "turn", unit: "degrees clockwise", least: -180, most: 180, step: 5 },
    thickness: { title: "thickness", unit: "thinner (\u22121) or thicker (+1) strokes", least: -1, most: 1, step: 0.05 },
  };
  const QUICK = 1e7; // multiply-adds of one picture, for which a slider need not wait
  const names = Object.keys(SLIDERS), titles = names.map((name) => [name, SLIDERS[name].title]);
  const jobs = state.fields.networks.map(() => ({ now: Lesson.jobs.place(), curve: Lesson.jobs.place() }));
  const now = []; // the answers of the networks to the changed picture
  let curve = { key: null, seen: null, networks: [], answers: [] };

  place.innerHTML = `
    <div class="side">
      <div class="sliders">${names.map(slider).join("")}
        <label>right class
          <select name="truth">${choices.options(Lesson.data.classes.map((name, label) => [label, name]))}</select></label>
        <p class="buttons">
          <button type="button" data-act="back">As it was</button>
          <button type="button" data-act="paper">Put it on the paper</button></p>
      </div>
      <figure><canvas class="seen" role="img" aria-label="The changed picture"></canvas>
        <figcaption>What the networks see</figcaption></figure>
      <div data-now role="status"></div>
    </div>
    ${choices.radios("Curve over", "over", titles)}
    ${choices.radios("of", "curvesOf", [["picture", "this picture"], ["mean", `${examples} test images, the mean`]])}
    <div data-curves></div>`;
  const behind = text.table("The curves as a table", tableRows);
  place.append(behind);

  function slider(name) {
    const { title, least, most, step } = SLIDERS[name];
    return `<label>${title} <input type="range" name="${name}" min="${least}" max="${most}" step="${step}">` +
      " <output></output></label>";
  }

  place.addEventListener("input", ({ target }) => {
    const { changes } = state.fields;
    if (target.name in SLIDERS) state.set({ changes: { ...changes, [target.name]: target.valueAsNumber } });
    else state.set({ [target.name]: target.name === "truth" ? Number(target.value) : target.value });
  });
  place.addEventListener("click", ({ target }) => {
    if (target.dataset.act === "back") state.set({ changes: Lesson.change.NONE });
    if (target.dataset.act === "paper") putOnPaper();
  });
  state.subscribe(["drawing"], ({ drawing }) => state.set({ truth: drawing.label ?? null }));
  Lesson.lazily(place, ["changes", "networks", "over", "curvesOf", "truth"], ["seen"], (fields) => {
    showChanged(fields);
    askNow(fields);
    askCurve(fields);
    show();
  });
  addEventListener("resize", show);

  /* The picture with some changes. */
  function changed(changes) {
    const { seen, networks } = state.fields, [height, width] = networks[0].layers[0].shape;
    return Lesson.change.apply({ height, width, pixels: seen }, changes);
  }

  /* The class that counts as right: the image's own, or the reader's choice, or what the first network says. */
  function truth() {
    const { truth: chosen, networks, seen, maps } = state.fields;
    return chosen ?? shares.best(Lesson.network.probabilities(maps[0] || Lesson.network.run(networks[0], seen)));
  }

  function showChanged({ changes, over, curvesOf }) {
    const { pixels, width } = changed(changes);
    Lesson.tiles.ink(place.querySelector(".seen"), pixels, width);
    for (const name of names) {
      const input = place.querySelector(`[type=range][name=${name}]`);
      input.value = changes[name];
      input.setAttribute("aria-valuetext", `${curves.signed(changes[name])} ${SLIDERS[name].unit}`);
      input.nextElementSibling.textContent = curves.signed(changes[name]);
    }
    choices.tick(place, "over", over);
    choices.tick(place, "curvesOf", curvesOf);
    place.querySelector("[name=truth]").value = truth();
  }

  function askNow({ changes, networks }) {
    const { pixels } = changed(changes);
    networks.forEach((network, index) => {
      const tell = ([found]) => {
        now[index] = found;
        show();
      };
      if (network.multiply_adds <= QUICK) tell(Lesson.trials.answers(network, [pixels]));
      else jobs[index].now.start("answers", [network, [pixels]], tell);
    });
  }

  /* The pictures of the curve have all changes but the one that the curve goes over. */
  function askCurve({ changes, over, networks, seen }) {
    const { [over]: _, ...others } = changes, key = JSON.stringify([over, others]);
    if (curve.key !== key || curve.seen !== seen) curve = { key, seen, networks: [], answers: [] };
    const asked = curve, pictures = amounts[over].map((amount) => changed({ ...changes, [over]: amount }).pixels);
    networks.forEach((network, index) => {
      if (asked.networks[index] === network) return;
      asked.networks[index] = network;
      jobs[index].curve.start("answers", [network, pictures], (found) => {
        asked.answers[index] = found;
        show();
      });
    });
  }

  /* The lines of the curves: of this picture, or the means that were computed when the page was made. */
  function lines() {
    const { over, curvesOf, networks } = state.fields, right = truth();
    const ofPicture = (found) => found && found.map((each) => each[right]);
    return networks.map(({ title }, index) =>
      ({ name: title, shares: curvesOf === "mean" ? means[index][over] : ofPicture(curve.answers[index]) }));
  }

  function show() {
    const { over, curvesOf, changes, networks } = state.fields, right = truth(), { unit } = SLIDERS[over];
    const bars = networks.map(({ title }, index) => [title, now[index] ? now[index][right] : null]);
    place.querySelector("[data-now]").innerHTML =
      `<p>Probability of the right class, ${text.escaped(Lesson.data.classes[right])}:</p>${shares.bars(bars, "named")}`;
    const of = curvesOf === "mean" ? `the mean of ${examples} test images` : "this picture";
    const title = `Probability of the right class of ${of}, by ${unit}`;
    const width = Math.max(280, Math.min(720, place.clientWidth));
    const drawing = { title, axis: unit, amounts: amounts[over], lines: lines(), mark: changes[over], width };
    place.querySelector("[data-curves]").innerHTML = `<p>${title}.</p>${curves.legend(lines())}${curves.drawing(drawing)}`;
    text.fill(behind, tableRows);
  }

  function tableRows() {
    const { over } = state.fields, shown = lines();
    const row = (amount, at) =>
      [curves.signed(amount), ...shown.map(({ shares: line }) => (line ? shares.percent(line[at]) : "…"))];
    return [[SLIDERS[over].unit, ...shown.map(({ name }) => name)], ...amounts[over].map(row)];
  }

  function putOnPaper() {
    const { pixels, width } = changed(state.fields.changes), { label } = state.fields.drawing;
    const drawing = { kind: "pixels", side: width, pixels: Uint8Array.from(pixels, Math.round), label, isPrepared: true };
    state.set({ drawing, changes: Lesson.change.NONE });
  }
};
