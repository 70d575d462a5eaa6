/* The networks at some moments of one training. */
Lesson.training = (() => {
  let known = null;

  const moments = () => (Lesson.data.moments ? Lesson.data.moments.moments : []);
  const count = () => moments().length;
  const networks = () => (known = known || moments().map(network));

  /* Kernels are whole numbers from -127 to 127, times a step for each output channel; all else is as it was trained. */
  function network({ layers }) {
    const trained = Lesson.tried.trained();
    const withNumbers = (layer) => (layer.name in layers ? { ...layer, ...numbers(layers[layer.name]) } : layer);
    return Lesson.network.decoded({ ...trained, layers: trained.layers.map(withNumbers) });
  }

  function numbers({ kernel, step, bias }) {
    const steps = new Float32Array(bytes(step)), whole = new Int8Array(bytes(kernel));
    return { kernel: Float32Array.from(whole, (value, index) => value * steps[index % steps.length]), bias };
  }

  const bytes = (code) => Uint8Array.from(atob(code), (character) => character.charCodeAt(0)).buffer;

  return { count, networks };
})();
