/* The answers of the networks: the probability of each class. */
Lesson.panels.probabilities = (place) => {
  const { state, text, shares } = Lesson;

  state.subscribe(["maps", "hasWorkers"], ({ networks, maps, hasWorkers }) => {
    place.innerHTML = networks.map((network, index) => answer(network, maps[index], hasWorkers)).join("");
  });

  function answer(network, maps, hasWorkers) {
    const title = `<h3>${text.escaped(network.title)}</h3>`;
    if (!maps) return `<section>${title}<p>${text.waiting(hasWorkers)}</p></section>`;
    const probabilities = Lesson.network.probabilities(maps);
    const rows = probabilities.map((share, label) => [Lesson.data.classes[label], share]);
    return `<section>${title}${shares.bars(rows, "", shares.best(probabilities))}</section>`;
  }
};
