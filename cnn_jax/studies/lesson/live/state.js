"use strict";
/* The page's one state, and the panels that read and change it.

A panel is a file of its own. It registers itself by its name:

    Lesson.panels.sums = (place) => {
      Lesson.state.subscribe(["maps"], ({ maps }) => { place.textContent = ...; });
      place.addEventListener("click", (event) => Lesson.state.set({ unit: ... }));
    };

When the page is ready, `start.js` calls it once with its place, the element <div data-panel="sums"> (in Python:
`Panel("sums")` in `section.py`; the file's name stands in `scripts.py`). A panel listens on its place alone. Panels do
not know each other: they only know the state. `set` merges its changes, and then calls the listeners to whose fields it
gave another value, in the order in which they subscribed. A listener is also called once when it subscribes. Values are
never changed in place; a changed copy is set, so that a difference is seen.

The fields, from what the reader chose to what follows from it:

    drawing   {kind: "strokes", strokes: [[x, y, x, y, ...], ...]} in shares of the paper's side, or
              {kind: "pixels", side, pixels: Uint8Array [side * side], 255 is ink}; of a test image also `label` and
              `index`; with `isPrepared` it is what networks see, whatever `inForm` says
    inForm    whether the drawing is brought to MNIST's form
    networks  [network], as `network.js` describes it; a panel may set changed copies
    network   the index of the network that is looked at, from 0
    layer     the index of its layer that is looked at; 0 is the picture
    unit      [row, column, map] of a unit of that layer, or [index] where the layer has no rows
    channel   the channel of that unit's window that is looked at; null for the one that counts most
    pointed   {network, layer, unit} under the pointer or focus, or null
    letter, template, window: of the panel `stepper`: two pictures as rows of 1 (ink) and -1 (paper), and the index of
              the window of the letter under the template
    at        the name of the panel that the reader used last, for links
    off, kernels  what the reader has changed of a network: `tried.js` describes them
    score     how many test images the changed network answers correctly, null until it is known: set by `scores.js`
    filter, channels, changes, over, curvesOf, truth, moment, momentLayer, confusionOf, cell, question: what the reader
              chose in the panels of the same parts; `explored.js` says what they are at first
    -- set by `answers.js` alone --
    steps     the drawing on its way to the network, as `form.js` gives it
    seen      Uint8Array [height * width], the picture that the networks receive
    maps      for each network the outputs of its layers, as `network.js` gives them; null until they are computed
    hasWorkers  whether slow networks can be computed */
const Lesson = { panels: {} };

Lesson.state = (() => {
  const fields = {};
  const listeners = [];

  function set(changes) {
    const changed = Object.keys(changes).filter((name) => fields[name] !== changes[name]);
    Object.assign(fields, changes);
    for (const { names, listener } of [...listeners]) {
      if (names.some((name) => changed.includes(name))) listener(fields);
    }
  }

  function subscribe(names, listener) {
    listeners.push({ names, listener });
    listener(fields);
  }

  /* The unit that is looked at, {network, layer, unit}: the one that is pointed at, or the chosen one. */
  function looked() {
    return fields.pointed || fields;
  }

  return { fields, set, subscribe, looked };
})();
