/* What follows from the drawing: its form, the picture that the networks see, and the outputs of all their layers.

A slow network is computed in a worker, and its maps come later; where there is no worker, `state.fields.hasWorkers` is
false, and the slow networks stay without maps. */
Lesson.answers = (() => {
  const { state } = Lesson;
  const SLOW = 1e7; // multiply-adds of one picture; more take longer than a stroke may wait
  const workers = new Map(); // by the index of the network

  function start() {
    state.subscribe(["drawing", "inForm"], ({ drawing, inForm }) => {
      const ink = Lesson.ink.of(drawing), shape = state.fields.networks[0].layers[0].shape;
      const isFormed = inForm && !drawing.isPrepared;
      const steps = { ink, isFormed, ...(isFormed ? Lesson.form.steps(ink) : Lesson.form.whole(ink, shape)) };
      state.set({ steps, seen: steps.seen });
    });
    state.subscribe(["seen", "networks"], ({ networks, seen }) => {
      const maps = networks.map((network) => (isSlow(network) ? null : Lesson.network.run(network, seen)));
      networks.forEach((network, index) => {
        if (isSlow(network)) inWorker(index, network, seen);
      });
      const late = maps.map((found, index) => found || (state.fields.maps ? state.fields.maps[index] : null));
      state.set({ maps: late });
    });
  }

  const isSlow = (network) => network.multiply_adds > SLOW;

  function inWorker(index, network, seen) {
    try {
      if (!workers.has(index)) workers.set(index, Lesson.worker.of((maps) => setMaps(index, maps)));
    } catch {
      state.set({ hasWorkers: false });
      return;
    }
    workers.get(index).compute(network, seen);
  }

  function setMaps(index, maps) {
    state.set({ maps: state.fields.maps.map((old, at) => (at === index ? maps : old)) });
  }

  return { start };
})();
