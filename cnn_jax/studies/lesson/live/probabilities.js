/* The answers of the networks: the probability of each class. */
Lesson.panels.probabilities = (place) => {
  const { state, text } = Lesson;

  state.subscribe(["maps", "hasWorkers"], ({ networks, maps, hasWorkers }) => {
    place.innerHTML = networks.map((network, index) => answer(network, maps[index], hasWorkers)).join("");
  });

  function answer(network, maps, hasWorkers) {
    const title = `<h3>${text.escaped(network.title)}</h3>`;
    if (!maps) return `<section>${title}<p>${text.waiting(hasWorkers)}</p></section>`;
    const shares = Lesson.network.probabilities(maps), best = Math.max(...shares);
    const rows = shares.map((share, label) =>
      `<li${share === best ? ' class="best"' : ""}><span>${text.escaped(Lesson.data.classes[label])}</span> ` +
      `<span class="bar" style="--share: ${share.toFixed(4)}"></span> <span>${(100 * share).toFixed(1)} %</span></li>`);
    return `<section>${title}<ul class="shares">${rows.join("")}</ul></section>`;
  }
};
