/* Questions that the reader answers first and the network then. Each one is

    {question, choices: [[words, isTrue(found)]], measure(context), words(found), needs(context)}

`measure` gives what was found, or a promise of it. Of the choices exactly one is then true. `needs` says whether the page
can be asked. A context is {network, networks, untrained, picture: {height, width, pixels}, sample, ask(name, values)}:
the network that is asked, all of the page as they were trained, one before its training, the picture on the paper, some
test images, and a way to ask for what takes long, by the name of a function in `trials.js`. */
Lesson.questions = (() => {
  const { run, probabilities } = Lesson.network;
  const NEAR = 1e-4; // a smaller difference is rounding

  const best = (list) => list.indexOf(Math.max(...list));
  const percent = (share) => Lesson.shares.percent(share);
  const points = (share) => Lesson.text.number(100 * share, 1);
  const all = (network, kind) => network.layers.flatMap((layer, index) => (layer.kind === kind ? [index] : []));
  const convolution = ({ network }, number = 0) => all(network, "convolution").at(number);
  const pooling = ({ network }) => all(network, "max_pool")[0];
  const hasPooling = (context) => pooling(context) !== undefined;

  function movedRight(picture, right) {
    return Uint8Array.from(Lesson.change.apply(picture, { right }).pixels, Math.round);
  }

  function withLayer(network, index, values) {
    return { ...network, layers: network.layers.map((layer, at) => (at === index ? { ...layer, ...values } : layer)) };
  }

  /* How the maps of a layer change when the picture moves to the right: the largest difference from the maps moved by
  some units, and from the maps as they were. */
  function movedMaps({ network, picture }, layer, pixels, units) {
    const { shape } = network.layers[layer], [before, after] = [picture.pixels, movedRight(picture, pixels)]
      .map((each) => run(network, each)[layer].values);
    return { moved: difference(before, after, shape, units), same: difference(before, after, shape, 0) };
  }

  function difference(before, after, [, width, count], units) {
    return after.reduce((most, value, index) => {
      const isInside = Math.floor(index / count) % width >= units;
      return isInside ? Math.max(most, Math.abs(value - before[index - units * count])) : most;
    }, 0);
  }

  const movedChoices = (units) => [
    [`They move by ${units} to the right, and are otherwise the same`, ({ moved, same }) => same >= NEAR && moved < NEAR],
    ["They stay the same", ({ same }) => same < NEAR],
    ["They change in another way", ({ moved, same }) => same >= NEAR && moved >= NEAR],
  ];
  const movedWords = (units) => ({ moved, same }) =>
    `The largest difference from the maps moved by ${units} is ${moved.toFixed(4)}; that from the maps as they were is ` +
    `${same.toFixed(4)}.`;

  /* In how many places of a layer some map has another number when one pixel in the middle changes. */
  function placesOfOnePixel({ network, picture: { height, width, pixels } }, layer) {
    const [rows, columns, count] = network.layers[layer].shape, changed = Uint8Array.from(pixels);
    const middle = Math.floor(height / 2) * width + Math.floor(width / 2);
    changed[middle] = changed[middle] > 127 ? 0 : 255;
    const [before, after] = [pixels, changed].map((each) => run(network, each)[layer].sums);
    const isHit = (place) => before.subarray(place * count, (place + 1) * count)
      .some((sum, map) => sum !== after[place * count + map]);
    return { hit: [...Array(rows * columns).keys()].filter(isHit).length, places: rows * columns };
  }

  const answerChoices = [
    ["The same, and as sure: within one point", ({ label, change, other }) => other === label && Math.abs(change) <= 0.01],
    ["The same, but more or less sure", ({ label, change, other }) => other === label && Math.abs(change) > 0.01],
    ["Another one", ({ label, other }) => other !== label],
  ];

  /* What a network answers before and after. */
  function answers(network, pixels, changed) {
    const [before, after] = [pixels, changed].map((each) => probabilities(run(network, each))), label = best(before);
    return { before, after, label, other: best(after), change: after[label] - before[label] };
  }

  const scoreChoices = [
    ["More than 90 %", ({ right, count }) => right / count > 0.9],
    ["Between 50 % and 90 %", ({ right, count }) => right / count >= 0.5 && right / count <= 0.9],
    ["Less than 50 %", ({ right, count }) => right / count < 0.5],
  ];
  const scoreWords = ({ right, count }) => `${right} of ${count} test images are right: ${percent(right / count)}.`;

  /* The kernel of a layer in which all numbers of a filter are equal, and their squares have the same sum as before. */
  function blurred({ kernel, shape }) {
    const count = shape[2], squares = new Float64Array(count);
    kernel.forEach((weight, index) => {
      squares[index % count] += weight * weight;
    });
    return kernel.map((_, index) => Math.sqrt(squares[index % count] * count / kernel.length));
  }

  async function lostByMoving({ networks, picture, ask }) {
    const pictures = [picture.pixels, movedRight(picture, 4)], lost = [];
    for (const network of networks) {
      const [before, after] = await ask("answers", [network, pictures]);
      lost.push(before[best(before)] - after[best(before)]);
    }
    return { lost, titles: networks.map(({ title }) => title) };
  }

  return {
    all: [
      {
        question: "The digit moves two pixels to the right. What happens to the maps of the first convolution?",
        choices: movedChoices("two units"),
        measure: (context) => movedMaps(context, convolution(context), 2, 2),
        words: movedWords("two units"),
      },
      {
        question: "The digit moves two pixels to the right. What happens to the maps after the first pooling?",
        choices: movedChoices("one unit"),
        measure: (context) => movedMaps(context, pooling(context), 2, 1),
        words: movedWords("one unit"),
        needs: hasPooling,
      },
      {
        question: "The digit moves only one pixel to the right. What happens to the maps after the first pooling?",
        choices: movedChoices("one unit"),
        measure: (context) => movedMaps(context, pooling(context), 1, 1),
        words: movedWords("one unit"),
        needs: hasPooling,
      },
      {
        question: "One pixel in the middle of the picture changes. In how many places do the maps of the first " +
          "convolution change?",
        choices: [
          ["In one at most", ({ hit }) => hit <= 1],
          ["In two to nine", ({ hit }) => hit > 1 && hit <= 9],
          ["In ten or more", ({ hit }) => hit > 9],
        ],
        measure: (context) => placesOfOnePixel(context, convolution(context)),
        words: ({ hit, places }) => `They change in ${hit} of ${places} places: a place changes where its window holds ` +
          "the pixel.",
      },
      {
        question: "One pixel in the middle of the picture changes. In how many places do the maps of the last " +
          "convolution change?",
        choices: [
          ["In none", ({ hit }) => hit === 0],
          ["In some, but not in all", ({ hit, places }) => hit > 0 && hit < places],
          ["In all", ({ hit, places }) => hit === places],
        ],
        measure: (context) => placesOfOnePixel(context, convolution(context, -1)),
        words: ({ hit, places }) => `They change in ${hit} of ${places} places. A place can change where its receptive ` +
          "field holds the pixel.",
      },
      {
        question: "Which share of the numbers of the second convolution, after its ReLU, is zero for this picture?",
        choices: [
          ["Less than 25 %", ({ share }) => share < 0.25],
          ["Between 25 % and 50 %", ({ share }) => share >= 0.25 && share <= 0.5],
          ["More than 50 %", ({ share }) => share > 0.5],
        ],
        measure: (context) => {
          const { values } = run(context.network, context.picture.pixels)[convolution(context, 1)];
          return { share: values.filter((value) => value === 0).length / values.length };
        },
        words: ({ share }) => `${percent(share)} of them are zero.`,
        needs: (context) => convolution(context, 1) !== undefined,
      },
      {
        question: "All pixels get half of their brightness. What does the network answer?",
        choices: answerChoices,
        measure: ({ network, picture: { pixels } }) =>
          answers(network, pixels, pixels.map((level) => Math.round(level / 2))),
        words: ({ before, after }) => `Before: ${Lesson.shares.answer(before)}. After: ${Lesson.shares.answer(after)}.`,
      },
      {
        question: "Black and white are exchanged in all test images. How many does the network still answer correctly?",
        choices: scoreChoices,
        measure: ({ network, sample: { pictures, labels }, ask }) =>
          ask("score", [network, { labels, pictures: pictures.map((pixels) => pixels.map((level) => 255 - level)) }]),
        words: scoreWords,
      },
      {
        question: "The paper is empty. How sure is the network of its most probable answer?",
        choices: [
          ["Less than 20 %", ({ shares }) => Math.max(...shares) < 0.2],
          ["Between 20 % and 50 %", ({ shares }) => Math.max(...shares) >= 0.2 && Math.max(...shares) <= 0.5],
          ["More than 50 %", ({ shares }) => Math.max(...shares) > 0.5],
        ],
        measure: ({ network, picture: { pixels } }) => ({ shares: probabilities(run(network, pixels.map(() => 0))) }),
        words: ({ shares }) => `It answers ${Lesson.shares.answer(shares)}. No class means "no digit".`,
      },
      {
        question: "All filters of the first convolution become a blur: equal numbers, as strong as before. How many test " +
          "images are still right?",
        choices: scoreChoices,
        measure: ({ network, sample, ask }) => {
          const index = convolution({ network });
          return ask("score", [withLayer(network, index, { kernel: blurred(network.layers[index]) }), sample]);
        },
        words: scoreWords,
      },
      {
        question: "How many test images does the network answer correctly before the first step of its training?",
        choices: [
          ["None", ({ right }) => right === 0],
          ["Up to 20 %, as by chance", ({ right, count }) => right > 0 && right / count <= 0.2],
          ["More than 20 %", ({ right, count }) => right / count > 0.2],
        ],
        measure: ({ untrained, sample, ask }) => ask("score", [untrained, sample]),
        words: scoreWords,
        needs: ({ untrained }) => Boolean(untrained),
      },
      {
        question: "The digit moves four pixels to the right. Which network loses most of the probability of its answer?",
        choices: ({ networks }) => networks.map(({ title }, index) => [title, ({ lost }) => best(lost) === index]),
        measure: lostByMoving,
        words: ({ lost, titles }) => `${titles.map((title, index) => `${title}: ${points(-lost[index])} points`).join("; ")}.`,
        needs: ({ networks }) => networks.length > 1,
      },
    ],
  };
})();
