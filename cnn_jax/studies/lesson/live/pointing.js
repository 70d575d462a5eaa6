/* Pointer and keys over pictures of maps: which unit is pointed at, and which is chosen. A picture is a canvas with
`data-network` and `data-layer`, which shows all maps of that layer as `picture.layout` says. */
Lesson.pointing = (() => {
  const { state, picture, regions } = Lesson;
  const KEYS = {
    ArrowUp: [-1, 0, 0], ArrowDown: [1, 0, 0], ArrowLeft: [0, -1, 0], ArrowRight: [0, 1, 0],
    PageUp: [0, 0, -1], PageDown: [0, 0, 1],
  };

  function listen(place) {
    place.addEventListener("pointermove", (event) => point(unitUnder(event)));
    place.addEventListener("pointerleave", () => point(null));
    place.addEventListener("click", (event) => choose(unitUnder(event)));
    place.addEventListener("focusin", ({ target }) => {
      if (target.dataset.layer && target.matches(":focus-visible")) point(unitOf(target));
    });
    place.addEventListener("focusout", () => point(null));
    place.addEventListener("keydown", (event) => {
      if (event.target.dataset.layer && press(event.key, unitOf(event.target))) event.preventDefault();
    });
  }

  /* Whether the key does something. */
  function press(key, at) {
    const isChoice = key === "Enter" || key === " ";
    if (isChoice) choose(at);
    else if (KEYS[key]) point({ ...at, unit: moved(at, KEYS[key]) });
    return isChoice || key in KEYS;
  }

  function point(at) {
    if (JSON.stringify(state.fields.pointed) !== JSON.stringify(at)) state.set({ pointed: at });
  }

  function choose(at) {
    if (at) state.set({ ...at, channel: null, pointed: null });
  }

  /* The unit under the pointer, {network, layer, unit}; null between maps. */
  function unitUnder({ target, clientX, clientY }) {
    if (!target.dataset.layer) return null;
    const { network, layer, shape } = shown(target), edges = target.getBoundingClientRect();
    const places = picture.layout(shape), [across, down] = picture.size(places);
    const x = (clientX - edges.left) / edges.width * across, y = (clientY - edges.top) / edges.height * down;
    const found = picture.unitAt(places, x, y);
    return found && { network, layer, unit: asUnit(shape, found) };
  }

  /* The unit of a picture that the keys are at: the one that is looked at, or the first. */
  function unitOf(canvas) {
    const { network, layer, shape } = shown(canvas);
    const known = [state.fields.pointed, state.fields].find((at) => at && at.network === network && at.layer === layer);
    return { network, layer, unit: known ? known.unit : asUnit(shape, [0, 0, 0]) };
  }

  function shown({ dataset }) {
    const [network, layer] = [Number(dataset.network), Number(dataset.layer)];
    return { network, layer, shape: state.fields.networks[network].layers[layer].shape };
  }

  function asUnit(shape, [row, column, map]) {
    return shape.length === 1 ? [map] : [row, column, map];
  }

  /* A layer without rows has one direction, which all keys go. */
  function moved({ network, layer, unit }, step) {
    const { shape } = state.fields.networks[network].layers[layer];
    const along = regions.isFlat({ shape }) ? [step[0] + step[1] + step[2]] : step;
    return unit.map((index, axis) => Math.min(Math.max(index + along[axis], 0), shape[axis] - 1));
  }

  return { listen };
})();
