/* Exercises about the network of this page; a solution opens on a click, and its numbers are those of the network. */
Lesson.panels.exercises = (place) => {
  const { text, tried, shares } = Lesson;
  const { layers } = tried.trained(), last = layers.length - 1;
  const convolutions = layers.flatMap(({ kind }, index) => (kind === "convolution" ? [index] : []));
  const number = (value) => value.toLocaleString("en"), by = (shape) => shape.join(" x ");

  place.innerHTML = [parameters(), shapes(), products(), lastLayer(), loss(), filter()].map(([exercise, solution]) =>
    `<article class="exercise"><p>${exercise}</p><details><summary>Solution</summary><p>${solution}</p></details>` +
    "</article>").join("");
  Lesson.lazily(place, [], ["seen"], ({ seen }) => {
    const found = Lesson.network.probabilities(Lesson.network.run(tried.trained(), seen)), best = shares.best(found);
    const cost = -Math.log(found[best]), digits = cost < 0.001 ? 7 : 4;
    place.querySelector("[data-loss]").textContent =
      `If ${Lesson.data.classes[best]} is right, the loss is \u2212log(${found[best].toFixed(digits)}) = ` +
      `${cost.toFixed(digits)}. If another class is right, and its probability is for example 0.001, the loss is ` +
      `${(-Math.log(0.001)).toFixed(2)}.`;
  });

  function parameters() {
    const index = convolutions[Math.min(1, convolutions.length - 1)], { name, size, shape } = layers[index];
    const channels = layers[index - 1].shape[2], weights = size[0] * size[1] * channels * shape[2];
    return [`The layer ${text.escaped(name)} has ${shape[2]} filters of ${by(size)} and reads ${channels} channels. ` +
        "How many parameters does it have?",
      `Each filter has ${by([...size, channels])} weights and one bias. Together: ${by([...size, channels, shape[2]])} + ` +
        `${shape[2]} = ${number(weights + shape[2])}.`];
  }

  function shapes() {
    const steps = layers.map(({ name, shape }) => `${text.escaped(name)} ${by(shape)}`).join(", ");
    return ["Which shape has the output of each layer?",
      "Without padding, a filter of n x n makes height and width n \u2212 1 smaller. Pooling of 2 x 2 halves them, and " +
        `drops an odd last row or column. Here: ${steps}.`];
  }

  function products() {
    const cost = (index) => layers[index].kernel.length * layers[index].shape[0] * layers[index].shape[1];
    const most = convolutions.reduce((first, second) => (cost(second) > cost(first) ? second : first));
    const costs = convolutions.map((index) => `${text.escaped(layers[index].name)} ${number(cost(index))}`);
    return ["Which convolution needs the most multiply-adds for one picture?",
      `Each weight is used once at each place of the output: ${costs.join(", ")}. The most are in ` +
        `${text.escaped(layers[most].name)}.`];
  }

  function lastLayer() {
    const count = ({ kernel, bias }) => (kernel ? kernel.length : 0) + (bias ? bias.length : 0);
    const all = layers.reduce((sum, layer) => sum + count(layer), 0), own = count(layers[last]);
    return [`Which share of all parameters is in the last layer, ${text.escaped(layers[last].name)}?`,
      `It has ${number(layers[last].kernel.length)} weights and ${layers[last].shape[0]} biases. That is ${number(own)} ` +
        `of ${number(all)} parameters, ${shares.percent(own / all)}.`];
  }

  function loss() {
    return ["The paper shows a picture, and the network gives its most probable class a probability. How large is the " +
        "loss?", "<span data-loss></span>"];
  }

  function filter() {
    return ["Find nine numbers for a filter whose map is 0 on empty paper and on full ink, and large where ink begins " +
        "at the right of a window. Try them in the section above that changes a filter.",
      "The numbers add up to 0, and those in the right column are positive: for example \u22121, 0, 1 in each of the " +
        "three rows, with the bias 0."];
  }
};
