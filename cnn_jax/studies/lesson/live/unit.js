/* How the chosen unit becomes its number: window, kernel and products channel by channel, the bias and the ReLU; of
pooling, which number won. A slider moves its window over the map, and the unit's own map is filled up to it. */
Lesson.panels.unit = (place) => {
  const { state, text, grid, sliding, regions, arithmetic, picture, products } = Lesson;
  const WIDE = 224; // canvas pixels that a map should have across
  place.innerHTML = `
    <p class="name" role="status"></p>
    ${sliding.html("slide the window")}
    <div class="desk">
      <figure class="read"><canvas role="img"></canvas><figcaption></figcaption></figure>
      <figure class="filled"><canvas role="img"></canvas><figcaption></figcaption></figure>
    </div>
    <p class="choices"></p>
    <div class="arithmetic"></div>
    <p class="pointed" role="status"></p>`;
  const PARTS = ["name", "sliding", "read", "filled", "choices", "arithmetic", "pointed"];
  const [name, slider, read, filled, choices, work, pointed] = PARTS.map((part) => place.querySelector(`.${part}`));
  const details = text.table("Every channel as a table", () => products.rows(terms()));
  place.append(details);

  sliding.listen(place, position, (index) => {
    const width = chosen().shape[1];
    state.set({ unit: [Math.floor(index / width), index % width, state.fields.unit[2]] });
  });
  for (const kind of ["pointermove", "pointerdown"]) work.addEventListener(kind, sayProduct);
  state.subscribe(["maps", "network", "layer", "unit", "channel", "hasWorkers"], show);

  function chosen() {
    const { networks, network, layer } = state.fields;
    return networks[network].layers[layer];
  }

  function terms() {
    const { networks, maps, network, layer, unit } = state.fields;
    return arithmetic.terms(networks[network], maps[network], layer, unit);
  }

  function show({ networks, maps, network, layer, unit, channel, hasWorkers }) {
    const own = networks[network], isShown = Boolean(maps[network] && layer);
    for (const part of place.children) part.hidden = !isShown && part !== name;
    if (!isShown) {
      name.textContent = maps[network] ? pixel(own, unit) : text.waiting(hasWorkers);
      return;
    }
    pointed.textContent = "";
    name.textContent = `${own.title}, layer ${layer}: ${text.unit(chosen(), unit)}`;
    const isPooling = chosen().kind === "max_pool";
    showRead(own, maps[network], isPooling ? showPooling(own, maps[network]) : showProducts(own, channel));
    showFilled(maps[network][layer].values, unit);
    sliding.show(place, position());
  }

  function pixel({ title, layers }, [row, column]) {
    const { scale, offset, shape } = layers[0], level = state.fields.seen[row * shape[1] + column];
    return `${title}: the pixel in row ${row}, column ${column} has the level ${level} of 255. The network receives ` +
      `${level} x ${text.number(scale, 5)} + ${text.number(offset)} = ${text.number(level * scale + offset, 3)}.`;
  }

  /* This and the next show how the unit is computed, and return the map that its window is shown on. */
  function showPooling(own, maps) {
    const { layer, unit } = state.fields, { values, width, winner } = arithmetic.contest(own, maps, layer, unit);
    choices.hidden = details.hidden = true;
    work.innerHTML =
      grid.html(values, width, { largest: chosen().largest, caption: "window", marked: [winner], digits: 3 }) +
      `<p>The largest of the ${values.length} numbers is ${text.number(values[winner], 3)}, in row ` +
      `${Math.floor(winner / width)}, column ${winner % width} of the window. It goes on; the others, and where it ` +
      "stood, are forgotten.</p>";
    return unit[2];
  }

  function showProducts(own, wanted) {
    const found = terms(), channel = products.channelOf(wanted, found);
    products.showChoices(choices, found, channel);
    work.innerHTML = products.html(own, state.fields.layer, found, channel);
    grid.paintAll(work);
    details.hidden = false;
    text.fill(details, () => products.rows(found));
    return channel;
  }

  /* Of a window that is too large for numbers, the numbers where the reader points. */
  function sayProduct(event) {
    if (!event.target.dataset.width) return;
    const found = terms(), channel = products.channelOf(state.fields.channel, found);
    pointed.textContent = products.sentence(found, channel, grid.under(event));
  }

  /* The map that the window lies on: that of the channel, or of pooling the unit's own. */
  function showRead(own, maps, channel) {
    const { layer, unit } = state.fields, index = regions.source(own, layer), source = own.layers[index];
    const window = regions.windowOf(own, layer, unit), of = index ? `Map ${channel} of ${source.name}` : "The picture";
    read.hidden = !window;
    if (!window) return;
    const words = `${of}, with the window: ${text.region(window)}.`;
    showMap(read, source, picture.mapOf(source.shape, maps[index].values, channel), window, words);
  }

  /* The unit's map up to the unit itself, in the order in which its window slides. */
  function showFilled(values, unit) {
    const [row, column, map] = unit, { index } = position();
    filled.hidden = slider.hidden = unit.length === 1;
    if (unit.length === 1) return;
    const own = picture.mapOf(chosen().shape, values, map).map((value, at) => (at > index ? NaN : value));
    const here = { top: row, left: column, bottom: row + 1, right: column + 1 };
    showMap(filled, chosen(), own, here, `Map ${map} of ${chosen().name}, filled up to this window.`);
  }

  function showMap(figure, { shape: [height, width], largest }, values, region, words) {
    const canvas = figure.querySelector("canvas"), places = picture.layout([height, width, 1]);
    const zoom = Math.max(4, Math.floor(WIDE / width));
    [canvas.width, canvas.height] = [width * zoom, height * zoom];
    picture.paint(canvas, picture.mosaic(values, places, largest));
    picture.frame(canvas, places, region, 0, zoom);
    canvas.setAttribute("aria-label", words);
    figure.querySelector("figcaption").textContent = words;
  }

  function position() {
    const { unit } = state.fields, [height, width] = chosen().shape;
    return unit.length === 1 ? { index: 0, count: 1 } : { index: unit[0] * width + unit[1], count: height * width };
  }
};
