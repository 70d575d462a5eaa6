/* Channels that the reader switches off, and which of them the network misses most. */
Lesson.panels.channels = (place) => {
  const { state, tried, tiles, text, colours, shares, choices } = Lesson;
  const trained = tried.trained(), onPicture = Lesson.jobs.place(), onSample = Lesson.jobs.place();
  const convolutions = trained.layers.flatMap(({ kind, name }, index) => (kind === "convolution" ? [[index, name]] : []));
  const MOST = 5; // channels that a sentence names
  let ranked = [[]];

  place.innerHTML = `
    ${choices.radios("Layer", "channels", convolutions)}
    <fieldset class="choices"><legend></legend><div></div></fieldset>
    <p class="buttons">
      <button type="button" data-act="on">All on</button>
      <button type="button" data-act="measure">Which channel hurts most?</button></p>
    <div role="status">
      <p data-say="answer"></p><p data-say="score"></p><p data-say="picture"></p><p data-say="sample"></p></div>`;
  const behind = text.table("Each channel alone off, as a table", () => ranked);
  place.append(behind);

  function say(name, words) {
    place.querySelector(`[data-say=${name}]`).textContent = words;
  }

  place.addEventListener("change", ({ target }) => {
    const { channels, off } = state.fields;
    if (target.name === "channels") {
      state.set({ channels: Number(target.value) });
      return;
    }
    const channel = Number(target.value), others = (off[channels] || []).filter((each) => each !== channel);
    tried.setOff(channels, target.checked ? others : [...others, channel].sort((a, b) => a - b));
  });
  place.addEventListener("click", ({ target }) => {
    if (target.dataset.act === "on") tried.setOff(state.fields.channels, []);
    if (target.dataset.act === "measure") measure(state.fields.channels);
  });
  state.subscribe(["channels"], ({ channels }) => showLayer(channels, trained.layers[channels]));
  Lesson.scores.show(place.querySelector("[data-say=score]"));
  Lesson.lazily(place, ["channels", "networks"], ["seen"], showMaps);

  function showLayer(index, { shape, largest }) {
    choices.tick(place, "channels", index);
    place.querySelector(".choices legend").innerHTML =
      `Its ${shape[2]} channels, as maps of the picture. Choose one to switch it off or on. ${colours.scale(largest)}`;
    place.querySelector(".choices div").innerHTML = choices.pictures("checkbox", "channel", "channel", shape[2]);
    markOff(index);
    say("sample", "");
    behind.hidden = true;
  }

  function markOff(index) {
    const isOff = new Set(state.fields.off[index]);
    place.querySelectorAll("[name=channel]").forEach((box, channel) => {
      box.checked = !isOff.has(channel);
    });
    return isOff;
  }

  function showMaps({ channels, seen, maps }) {
    const { shape, largest, relu } = trained.layers[channels], outputs = maps[tried.index()];
    const isOff = markOff(channels);
    // Of a channel that is off, its map stays in sight.
    const values = outputs[channels].sums.map((sum) => (relu ? Math.max(sum, 0) : sum));
    place.querySelectorAll("[name=channel]").forEach((box, channel) => {
      tiles.one(box.nextElementSibling, values, shape, channel, largest);
    });
    const before = Lesson.network.probabilities(Lesson.network.run(trained, seen));
    const now = Lesson.network.probabilities(outputs);
    say("answer", `Answer to the picture: ${shares.answer(before)} as trained, ${shares.answer(now)} now, with ` +
      `${isOff.size} of ${shape[2]} channels off.`);
    say("picture", "");
    onPicture.start("answersWithoutEach", [tried.now(), channels, seen], (found) => {
      if (channels === state.fields.channels) say("picture", mostMissed(found, now, isOff));
    });
  }

  /* By how much the logit of a class is above the next one. */
  function lead(probabilities, label) {
    const others = probabilities.filter((_, index) => index !== label);
    return Math.log(probabilities[label]) - Math.log(Math.max(...others));
  }

  function mostMissed(found, now, isOff) {
    const best = shares.best(now), name = Lesson.data.classes[best];
    const left = found.map((share, channel) => ({ channel, lead: lead(share, best) }));
    const least = left.filter(({ channel }) => !isOff.has(channel)).sort((a, b) => a.lead - b.lead).slice(0, MOST);
    const words = least.map(({ channel, lead: each }) => `${channel} (${text.number(each)})`).join(", ");
    return `The logit of ${name} is ${text.number(lead(now, best))} above the next one. Switching off one more ` +
      `channel leaves the least of it for these: ${words}. Below 0 the answer is another one.`;
  }

  /* Each channel alone off, for all test images of the page. */
  function measure(channels) {
    say("sample", "Each channel is switched off alone, for all test images …");
    onSample.start("withoutEach", [trained, channels, Lesson.gallery.sample()], (found) => {
      if (channels === state.fields.channels) showRanking(found);
    });
  }

  function showRanking(found) {
    const worst = found.map((score, channel) => ({ ...score, channel })).sort((a, b) => b.loss - a.loss);
    const words = ({ channel, right, count, loss }) => `channel ${channel}: without it, ${right} of ${count} test ` +
      `images are right, and the mean loss is ${text.number(loss, 3)}`;
    say("sample", `Of the network as trained, most is lost with ${words(worst[0])}. Least is lost with ` +
      `${words(worst[worst.length - 1])}.`);
    ranked = [["channel off", "right", "mean loss"],
      ...worst.map(({ channel, right, loss }) => [channel, right, text.number(loss, 4)])];
    behind.hidden = false;
    text.fill(behind, () => ranked);
  }
};
