/* Which units see which: the window of a unit, its receptive field on the picture, and the units that it feeds.

A region is {top, left, bottom, right} of a map; `bottom` and `right` are the first row and column behind it. */
Lesson.regions = (() => {
  const isFlat = (layer) => layer.shape.length === 1;

  const whole = ([height, width]) => ({ top: 0, left: 0, bottom: height, right: width });

  function clipped(region, shape) {
    const bottom = Math.min(region.bottom, shape[0]), right = Math.min(region.right, shape[1]);
    return { top: Math.max(region.top, 0), left: Math.max(region.left, 0), bottom, right };
  }

  /* The index of the layer whose numbers a layer reads; flattening only puts them into a row. */
  function source(network, index) {
    return network.layers[index - 1].kind === "flatten" ? index - 2 : index - 1;
  }

  /* What a region of a layer reads of the layer before it. */
  function readBy(layer, region) {
    const [down, right] = layer.stride, [above, before] = layer.padding || [0, 0];
    return {
      top: region.top * down - above,
      left: region.left * right - before,
      bottom: (region.bottom - 1) * down - above + layer.size[0],
      right: (region.right - 1) * right - before + layer.size[1],
    };
  }

  /* The region of its source that a unit reads; null where that has no rows, or the unit is a pixel. */
  function windowOf(network, index, unit) {
    if (!index) return null;
    const layer = network.layers[index], before = network.layers[source(network, index)];
    if (isFlat(before)) return null;
    return isFlat(layer) ? whole(before.shape) : clipped(readBy(layer, at(unit)), before.shape);
  }

  const at = ([row, column]) => ({ top: row, left: column, bottom: row + 1, right: column + 1 });

  /* The region of the picture that a unit sees, through all layers between them. */
  function field(network, index, unit) {
    let region = isFlat(network.layers[index]) ? null : at(unit);
    for (let here = index; here > 0; here--) {
      const layer = network.layers[here], before = network.layers[here - 1];
      if (isFlat(layer)) region = isFlat(before) ? null : whole(before.shape);
      else region = readBy(layer, region);
    }
    return clipped(region, network.layers[0].shape);
  }

  /* The units that read a unit: {layer, region, map, isNone}. layer: the index of the next layer. region: null where
  all units of a layer without rows do, or where none does. map: the only map, or null for all maps. */
  function fed(network, index, unit) {
    const layer = network.layers.findIndex((each, at) => at > index && each.kind !== "flatten");
    if (layer < 0) return null;
    const reader = network.layers[layer];
    if (isFlat(reader)) return { layer, region: null, map: null, isNone: false };
    const [top, bottom] = readers(unit[0], reader, 0), [left, right] = readers(unit[1], reader, 1);
    const isNone = bottom <= top || right <= left; // pooling leaves out an odd last row or column
    const map = reader.kind === "max_pool" ? unit[2] : null;
    return { layer, region: isNone ? null : { top, left, bottom, right }, map, isNone };
  }

  /* The first row (or column) whose window holds a place, and the first one behind them. */
  function readers(place, layer, axis) {
    const stride = layer.stride[axis], start = place + (layer.padding ? layer.padding[axis] : 0);
    const first = Math.ceil((start - layer.size[axis] + 1) / stride), last = Math.floor(start / stride);
    return [Math.max(first, 0), Math.min(last + 1, layer.shape[axis])];
  }

  /* The unit that is chosen first: in the middle of the first layer, {layer, unit}. */
  function first({ layers }) {
    const layer = layers.findIndex(({ kind }) => kind !== "input" && kind !== "flatten");
    const [height, width] = layers[layer].shape;
    return { layer, unit: isFlat(layers[layer]) ? [0] : [Math.floor(height / 2), Math.floor(width / 2), 0] };
  }

  return { first, isFlat, source, windowOf, field, fed };
})();
