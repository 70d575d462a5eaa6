/* The network that the reader changes: the first one with filters that answers at once. The fields `off`, {layer: [its
channels that are switched off]}, and `kernels`, {filter of the first layer: [its numbers, row after row, and the bias]},
say what is changed; the network that follows from them stands in `networks`. */
Lesson.tried = (() => {
  const { state } = Lesson;
  const FIRST = 1; // the layer whose kernels are changed
  let original = null;

  const index = () => Lesson.data.tried;
  const trained = () => original;
  const now = () => state.fields.networks[index()];

  /* Where no network can be tried, nothing is changed. */
  function start() {
    if ((index() ?? null) === null) return;
    original = now();
    state.subscribe(["off", "kernels"], () => {
      const { off, kernels } = state.fields, isChanged = Object.keys(off).length || Object.keys(kernels).length;
      if (isChanged || now() !== original) set(isChanged ? changed(off, kernels) : original);
    });
  }

  function set(network) {
    state.set({ networks: state.fields.networks.map((each, at) => (at === index() ? network : each)) });
  }

  function changed(off, kernels) {
    const layers = original.layers.map((layer, at) => (off[at] ? { ...layer, off: off[at] } : layer));
    layers[FIRST] = { ...layers[FIRST], ...withKernels(layers[FIRST], kernels) };
    return { ...original, layers };
  }

  function withKernels({ kernel, bias, shape }, kernels) {
    const [weights, biases] = [Float32Array.from(kernel), bias ? Float32Array.from(bias) : null];
    for (const [filter, numbers] of Object.entries(kernels)) {
      numbers.forEach((number, cell) => {
        if (cell < kernel.length / shape[2]) weights[cell * shape[2] + Number(filter)] = number;
        else if (biases) biases[filter] = number;
      });
    }
    return { kernel: weights, bias: biases };
  }

  /* The numbers of a filter of the first layer, and its bias. */
  function numbers(network, filter) {
    const { kernel, bias, shape } = network.layers[FIRST];
    return [...kernel.filter((_, at) => at % shape[2] === filter), bias ? bias[filter] : 0];
  }

  /* Sets these numbers, rounded so that a link holds them; or leaves the filter as it was trained where there are none. */
  function setNumbers(filter, values) {
    const { [filter]: _, ...kernels } = state.fields.kernels;
    state.set({ kernels: values ? { ...kernels, [filter]: values.map((value) => Number(value.toFixed(3))) } : kernels });
  }

  function setOff(layer, channels) {
    const { [layer]: _, ...off } = state.fields.off;
    state.set({ off: channels.length ? { ...off, [layer]: channels } : off });
  }

  const restore = () => state.set({ off: {}, kernels: {} });

  return { FIRST, index, trained, now, start, numbers, setNumbers, setOff, restore };
})();
