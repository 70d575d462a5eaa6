/* All maps of the networks, layer by layer, side by side. A line says what there is to know of the unit that is looked
at, and frames show what it reads, what it sees and which units it feeds. */
Lesson.panels.maps = (place) => {
  const { state, text, picture, regions } = Lesson;
  const BESIDE = 2; // networks
  const WIDE = 560; // canvas pixels that a picture should have across
  const pictures = []; // {network, layer, canvas, details, places, zoom, image, painted}
  place.innerHTML = '<p class="readout" role="status"></p><div class="networks"></div>';
  const readout = place.querySelector(".readout"), columns = place.querySelector(".networks");

  state.fields.networks.slice(0, BESIDE).forEach(addNetwork);
  Lesson.pointing.listen(place);
  state.subscribe(["maps", "hasWorkers"], showMaps);
  state.subscribe(["network", "layer", "unit", "pointed"], showLooked);

  function addNetwork(network, index) {
    const section = document.createElement("section");
    section.innerHTML = `<h3>${text.escaped(network.title)}</h3><p class="waiting"></p>`;
    network.layers.forEach((layer, at) => {
      if (layer.kind !== "flatten") section.append(figure(layer, index, at));
    });
    columns.append(section);
  }

  function figure(layer, network, at) {
    const element = document.createElement("figure"), places = picture.layout(layer.shape);
    const [across, down] = picture.size(places);
    const zoom = Math.min(Math.max(Math.floor(WIDE / across), 3), places.gap ? 8 : 24);
    element.innerHTML = `<figcaption>${caption(layer, at)} ${at ? Lesson.colours.scale(layer.largest) : ""}</figcaption>
      <canvas width="${across * zoom}" height="${down * zoom}" tabindex="0" role="img"
        data-network="${network}" data-layer="${at}" aria-label="${caption(layer, at)}"></canvas>`;
    const details = text.table(`${layer.name} as a table`, () => rows(layer, state.fields.maps[network][at].values));
    element.append(details);
    pictures.push({ network, layer: at, canvas: element.querySelector("canvas"), details, places, zoom });
    return element;
  }

  function caption(layer, index) {
    if (!index) return `Layer 0, the picture: ${layer.shape[0]} x ${layer.shape[1]} pixels.`;
    const relu = layer.relu ? ", after the ReLU" : "", [height, width, count] = layer.shape;
    const what = regions.isFlat(layer) ? `${height} units` : `${count} maps of ${height} x ${width}`;
    return `Layer ${index}, ${text.escaped(layer.name)}: ${what}${relu}.`;
  }

  /* The table behind a picture: of the drawing and of a layer without rows all numbers, of maps what they hold. */
  function rows(layer, values) {
    const [height, width, count] = Lesson.arithmetic.layered(layer.shape);
    if (layer.kind === "input") {
      const row = (at) => Array.from(values.subarray(at * width, (at + 1) * width), (value) => text.number(value));
      return [["", ...Array(width).keys()], ...Array.from({ length: height }, (_, at) => [`row ${at}`, ...row(at)])];
    }
    if (regions.isFlat(layer)) {
      return [["unit", "number"], ...Array.from(values, (value, unit) => [unit, text.number(value, 3)])];
    }
    return [["map", "smallest", "largest", "largest at row", "column"], ...Array.from({ length: count }, (_, map) => {
      const own = picture.mapOf(layer.shape, values, map), most = Math.max(...own), at = own.indexOf(most);
      return [map, text.number(Math.min(...own)), text.number(most), Math.floor(at / width), at % width];
    })];
  }

  function showMaps({ networks, maps, hasWorkers }) {
    columns.querySelectorAll(".waiting").forEach((line, network) => {
      line.textContent = maps[network] ? "" : text.waiting(hasWorkers);
    });
    for (const shown of pictures) {
      const found = maps[shown.network], layer = networks[shown.network].layers[shown.layer];
      if (!found || shown.painted === found) continue;
      if (shown.layer) shown.image = picture.mosaic(found[shown.layer].values, shown.places, layer.largest);
      shown.painted = found;
      paint(shown);
      text.fill(shown.details, () => rows(layer, found[shown.layer].values));
    }
    say();
  }

  function showLooked() {
    pictures.filter(({ painted }) => painted).forEach(paint);
    say();
  }

  /* The drawing is ink on paper, all else has the scale of colours. */
  function paint({ network, layer, canvas, image, places, zoom }) {
    if (layer) picture.paint(canvas, image);
    else picture.ink(canvas, state.fields.seen, places.width);
    for (const { region, map } of frames(network, layer)) picture.frame(canvas, places, region, map, zoom);
  }

  /* The frames in a layer: around the unit that is looked at, what it reads, its receptive field, and what it feeds. */
  function frames(network, layer) {
    const at = state.looked(), found = [];
    if (at.network !== network) return found;
    const own = state.fields.networks[network], looked = own.layers[at.layer];
    if (layer === at.layer) found.push(cellOf(looked, at.unit));
    if (layer && looked.size && layer === regions.source(own, at.layer)) { // a dense layer reads all: no frames
      const map = looked.kind === "max_pool" ? at.unit[2] : null;
      found.push({ region: regions.windowOf(own, at.layer, at.unit), map });
    }
    if (!layer && at.layer) found.push({ region: regions.field(own, at.layer, at.unit), map: 0 });
    const fed = regions.fed(own, at.layer, at.unit);
    if (fed && fed.region && fed.layer === layer) found.push(fed);
    return found;
  }

  function cellOf(layer, unit) {
    const [row, column, map] = regions.isFlat(layer) ? [0, 0, unit[0]] : unit;
    return { region: { top: row, left: column, bottom: row + 1, right: column + 1 }, map };
  }

  function say() {
    readout.textContent = Lesson.readout.of(state.fields, state.looked());
  }
};
