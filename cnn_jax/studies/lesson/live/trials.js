/* What is asked of a network with many pictures. Like `network.js` it needs no page, so that a worker can run it. */
Lesson.trials = (() => {
  const { run, probabilities } = Lesson.network;

  /* The probabilities of the classes for each picture. */
  const answers = (network, pictures) => pictures.map((picture) => probabilities(run(network, picture)));

  /* How many pictures are right, and the mean loss. */
  function score(network, { pictures, labels }) {
    return totals(answers(network, pictures), labels);
  }

  function totals(shares, labels) {
    let right = 0, loss = 0;
    shares.forEach((share, index) => {
      right += Number(share.indexOf(Math.max(...share)) === labels[index]);
      loss -= Math.log(Math.max(share[labels[index]], 1e-12));
    });
    return { right, count: shares.length, loss: loss / shares.length };
  }

  /* The scores when one map of a layer is switched off, for each of its maps. */
  function withoutEach(network, layer, { pictures, labels }) {
    const shares = pictures.map((picture) => answersWithoutEach(network, layer, picture));
    return shares[0].map((_, map) => totals(shares.map((ofPicture) => ofPicture[map]), labels));
  }

  /* The probabilities for a picture when one map of a layer is switched off, for each of its maps. The next layer that
  multiplies is a sum over maps: what one map adds to it is taken away, and only the layers after it are computed again. */
  function answersWithoutEach(network, layer, picture) {
    const { layers } = network, maps = run(network, picture), count = last(layers[layer].shape);
    const next = layers.findIndex((each, index) => index > layer && each.kernel);
    const reads = maps[next - 1].values, alone = beginning(layers[next - 1].shape);
    const sums = { layers: [alone, { ...layers[next], bias: null, relu: false, off: [] }] };
    const rest = { layers: [{ ...beginning(layers[next].shape), ...passed(layers[next]) }, ...layers.slice(next + 1)] };
    return Array.from({ length: count }, (_, map) => {
      const added = last(run(sums, reads.map((value, index) => (index % count === map ? value : 0)))).sums;
      return probabilities(run(rest, maps[next].sums.map((sum, index) => sum - added[index])));
    });
  }

  const last = (list) => list[list.length - 1];
  const beginning = (shape) => ({ kind: "input", shape, scale: 1, offset: 0 });
  const passed = ({ relu, off }) => ({ relu, off });

  return { answers, score, withoutEach, answersWithoutEach };
})();
