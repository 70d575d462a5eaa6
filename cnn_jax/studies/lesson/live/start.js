/* Fills the panels, when all of the page is there. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const places = document.querySelectorAll("[data-panel]");
  if (!data.networks.length) {
    for (const place of places) place.remove();
    return;
  }
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const drawn = (image) => ({ ...image, kind: "pixels", pixels: bytes(image.pixels) });
  Lesson.data = { ...data, examples: data.examples.map(drawn) };
  Lesson.state.set({
    drawing: drawn(data.image),
    inForm: data.mnist_form,
    networks: data.networks.map(Lesson.network.decoded),
    network: 0,
    ...Lesson.regions.first(data.networks[0]),
    channel: null,
    pointed: null,
    letter: data.letters.pictures.X.flat(),
    template: Object.values(data.letters.templates)[0].flat(),
    window: 0,
    at: null,
    hasWorkers: true,
    ...Lesson.explored.fields(data),
  });
  Lesson.links.start();
  Lesson.tried.start();
  Lesson.answers.start();
  for (const place of places) Lesson.panels[place.dataset.panel](place);
  Lesson.links.go();
})();
