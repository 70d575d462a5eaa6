/* How one unit becomes its number: window times kernel, channel by channel, plus bias, then the ReLU. */
Lesson.arithmetic = (() => {
  /* The terms of a unit of a convolution or a dense layer: {height, width, channels, bias, sum, value}. A channel is
  {values, weights, products, sum}, where the arrays have height * width numbers. The window of a dense layer is the
  whole map that it reads. */
  function terms(network, maps, index, unit) {
    const layer = network.layers[index], source = Lesson.regions.source(network, index);
    const shape = layered(network.layers[source].shape), [height, width] = layer.size || shape;
    const filters = layer.shape[layer.shape.length - 1], filter = unit[unit.length - 1];
    const start = (axis) => (layer.size ? unit[axis] * layer.stride[axis] - layer.padding[axis] : 0);
    const channels = Array.from({ length: shape[2] }, (_, channel) => {
      const values = cut(maps[source].values, shape, channel, { top: start(0), left: start(1), height, width });
      const weights = values.map((_, at) => layer.kernel[(at * shape[2] + channel) * filters + filter]);
      const products = values.map((value, at) => value * weights[at]);
      return { values, weights, products, sum: products.reduce((sum, product) => sum + product, 0) };
    });
    const place = indexOf(layer.shape, unit);
    const bias = layer.bias ? layer.bias[filter] : 0;
    return { height, width, channels, bias, sum: maps[index].sums[place], value: maps[index].values[place] };
  }

  /* The window of a unit of max-pooling: {height, width, values, winner}, `winner` the index of the largest. */
  function contest(network, maps, index, unit) {
    const layer = network.layers[index], [height, width] = layer.size;
    const [top, left] = [unit[0] * layer.stride[0], unit[1] * layer.stride[1]];
    const values = cut(maps[index - 1].values, network.layers[index - 1].shape, unit[2], { top, left, height, width });
    return { height, width, values, winner: values.indexOf(Math.max(...values)) };
  }

  /* A part of a map, row after row; zeros outside. */
  function cut(values, [rows, columns, channels], channel, { top, left, height, width }) {
    return Array.from({ length: height * width }, (_, at) => {
      const row = top + Math.floor(at / width), column = left + (at % width);
      const isInside = row >= 0 && row < rows && column >= 0 && column < columns;
      return isInside ? values[(row * columns + column) * channels + channel] : 0;
    });
  }

  /* A layer without rows is a map of one place. */
  const layered = (shape) => (shape.length === 1 ? [1, 1, shape[0]] : shape);

  /* Where a unit stands in the array of its layer. */
  const indexOf = (shape, unit) => unit.reduce((index, place, axis) => index * shape[axis] + place, 0);

  return { terms, contest, layered, indexOf };
})();
