/* A trained network, computed: a picture goes in, the outputs of all layers come out. No page is needed, so that a
worker can run the same source.

A network is {title, origin, layers, ...}. A layer reads the layer before it and is {kind, name, shape, relu}:

    input        scale, offset: a pixel's number is byte * scale + offset
    convolution  size, stride, padding: [rows, columns]; kernel: Float32Array [rows, columns, channels, filters]; bias
    max_pool     size, stride
    flatten
    dense        kernel: Float32Array [inputs, units]; bias

`largest` and `largest_weight` are the ends of the scales of colours of its outputs and its kernel.

Arrays have the layout of JAX: [height, width, channels], row after row. A layer may have `off`, an array of indices of
its maps (or units) that are switched off: they give zeros. */
Lesson.network = (() => {
  /* The network with its parameters as float32 [...]; in the page's data they are float16 in base64. */
  function decoded(network) {
    const array = (text) => (typeof text === "string" ? floats(text) : text);
    const layers = network.layers.map((layer) =>
      "kernel" in layer ? { ...layer, kernel: array(layer.kernel), bias: array(layer.bias) } : layer);
    return { ...network, layers };
  }

  function floats(text) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const halves = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 2 }, (_, index) => float(halves.getUint16(2 * index, true)));
  }

  function float(half) {
    const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  }

  /* The outputs of all layers for a picture, Uint8Array [height * width]: for each layer {sums, values}, Float32Array
  of its shape. `sums` are what it computes, `values` what the next layer reads: the same, or after the ReLU. */
  function run(network, picture) {
    const maps = [];
    network.layers.forEach((layer, index) => {
      const before = index ? maps[index - 1].values : picture;
      maps.push(outputs(layer, before, index ? network.layers[index - 1].shape : layer.shape));
    });
    return maps;
  }

  function outputs(layer, before, shape) {
    const sums = computed[layer.kind](layer, before, shape);
    let values = layer.relu ? sums.map((sum) => Math.max(sum, 0)) : sums;
    if (layer.off && layer.off.length) values = withoutMaps(values, layer);
    return { sums, values };
  }

  function withoutMaps(values, layer) {
    const count = layer.shape[layer.shape.length - 1], off = new Set(layer.off);
    return values.map((value, index) => (off.has(index % count) ? 0 : value));
  }

  const computed = {
    input: (layer, picture) => Float32Array.from(picture, (byte) => byte * layer.scale + layer.offset),
    flatten: (_, before) => before,
    dense: (layer, before) => dense(layer, before, layer.shape[0]),
    convolution,
    max_pool: maxPool,
  };

  function convolution(layer, before, [height, width, channels]) {
    const [rows, columns, filters] = layer.shape;
    const sums = new Float32Array(rows * columns * filters);
    const unit = new Float64Array(filters); // the sums of all filters at one place
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        if (layer.bias) unit.set(layer.bias); else unit.fill(0);
        const top = row * layer.stride[0] - layer.padding[0], left = column * layer.stride[1] - layer.padding[1];
        for (let down = Math.max(0, -top); down < Math.min(layer.size[0], height - top); down++) {
          for (let right = Math.max(0, -left); right < Math.min(layer.size[1], width - left); right++) {
            const from = ((top + down) * width + left + right) * channels;
            const weights = (down * layer.size[1] + right) * channels * filters;
            addProducts(unit, before, from, channels, layer.kernel, weights);
          }
        }
        sums.set(unit, (row * columns + column) * filters);
      }
    }
    return sums;
  }

  function dense(layer, before, units) {
    const sums = new Float64Array(units);
    if (layer.bias) sums.set(layer.bias);
    addProducts(sums, before, 0, before.length, layer.kernel, 0);
    return Float32Array.from(sums);
  }

  /* Adds to each sum the products of `count` values with its weights, which lie [count, sums.length] in the kernel. */
  function addProducts(sums, values, from, count, kernel, weights) {
    for (let index = 0; index < count; index++, weights += sums.length) {
      const value = values[from + index];
      if (value === 0) continue; // after a ReLU most are
      for (let unit = 0; unit < sums.length; unit++) sums[unit] += value * kernel[weights + unit];
    }
  }

  function maxPool(layer, before, [, width, channels]) {
    const [rows, columns] = layer.shape;
    const largest = new Float32Array(rows * columns * channels).fill(-Infinity);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const to = (row * columns + column) * channels;
        for (let down = 0; down < layer.size[0]; down++) {
          for (let right = 0; right < layer.size[1]; right++) {
            const from = ((row * layer.stride[0] + down) * width + column * layer.stride[1] + right) * channels;
            for (let map = 0; map < channels; map++) {
              largest[to + map] = Math.max(largest[to + map], before[from + map]);
            }
          }
        }
      }
    }
    return largest;
  }

  /* The probabilities of the classes, from the outputs of `run`: the softmax of the last layer. */
  function probabilities(maps) {
    const logits = maps[maps.length - 1].values;
    const largest = Math.max(...logits);
    const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
    const total = powers.reduce((sum, power) => sum + power, 0);
    return powers.map((power) => power / total);
  }

  return { decoded, run, probabilities };
})();
