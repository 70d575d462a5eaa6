/* The controls that slide a window over a map: one window back or on, the first and the last, or a slider. */
Lesson.sliding = (() => {
  function html(name) {
    const button = (move, sign, label) =>
      `<button type="button" data-move="${move}" aria-label="${label}" title="${label}">${sign}</button>`;
    return `<p class="sliding" role="group" aria-label="${name}">` +
      button("first", "&#x21E4;", "first window") + button("back", "&#x2190;", "one window back") +
      `<input type="range" min="0" aria-label="window">` +
      button("on", "&#x2192;", "one window on") + button("last", "&#x21E5;", "last window") + " <output></output></p>";
  }

  /* Calls `move(index)` when the reader slides; `position()` gives {index, count} of the windows. */
  function listen(place, position, move) {
    place.addEventListener("click", (event) => {
      const button = event.target.closest("[data-move]");
      if (!button) return;
      const { index, count } = position();
      const goals = { first: 0, back: index - 1, on: index + 1, last: count - 1 };
      move(Math.min(Math.max(goals[button.dataset.move], 0), count - 1));
    });
    place.addEventListener("input", (event) => {
      if (event.target.closest(".sliding")) move(Number(event.target.value));
    });
  }

  function show(place, { index, count }) {
    const slider = place.querySelector(".sliding input");
    slider.max = count - 1;
    slider.value = index;
    place.querySelector(".sliding output").textContent = `window ${index + 1} of ${count}`;
  }

  return { html, listen, show };
})();
