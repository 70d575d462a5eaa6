/* A template slides over an X or an O, and fills the map of how well each window agrees with it. Pixels of the letter
and of the template can be turned over. */
Lesson.panels.stepper = (place) => {
  const { state, text, grid, sliding } = Lesson;
  const known = { letter: Lesson.data.letters.pictures, template: Lesson.data.letters.templates };
  place.innerHTML = `
    <p class="buttons">${choice("letter")} ${choice("template")}</p>
    ${sliding.html("slide the template")}
    <div class="desk"><div class="letter"></div><div class="map"></div></div>
    <div class="arithmetic"></div>
    <p class="sum" role="status"></p>`;
  const [letter, map, work, sum] =
    ["letter", "map", "arithmetic", "sum"].map((part) => place.querySelector(`.${part}`));

  grid.listen(place);
  sliding.listen(place, position, (window) => state.set({ window }));
  place.addEventListener("click", ({ target }) => {
    const { act, index } = target.dataset;
    if (act in known) turn(act, Number(index));
  });
  place.addEventListener("change", ({ target }) => {
    const chosen = known[target.name] && known[target.name][target.value];
    if (chosen) state.set({ [target.name]: chosen.flat() });
  });
  state.subscribe(["letter", "template", "window"], show);

  function choice(field) {
    const options = Object.keys(known[field]).map((name) => `<option>${text.escaped(name)}</option>`);
    const own = '<option value="">your own</option>';
    return `<label>${field} <select name="${field}">${own}${options.join("")}</select></label>`;
  }

  function show({ letter: pixels, template, window }) {
    const cells = under(window), values = cells.map((cell) => pixels[cell]);
    const products = values.map((value, at) => value * template[at]);
    keepFocus(() => {
      letter.innerHTML = signs(pixels, "letter", { act: "letter", marked: cells });
      work.innerHTML = [
        signs(values, "window"), '<span class="sign">x</span>', signs(template, "template", { act: "template" }),
        '<span class="sign">=</span>', signs(products, "products"),
      ].join("");
    });
    map.innerHTML = grid.html(means(), sizes().across, { largest: 1, caption: "map", marked: [window] });
    sum.textContent = words(products);
    choose("letter");
    choose("template");
    sliding.show(place, position());
  }

  function signs(values, caption, options = {}) {
    return grid.html(values, Math.sqrt(values.length), { largest: 2, caption, digits: 0, ...options });
  }

  function words(products) {
    const { across } = sizes(), { window } = state.fields, total = products.reduce((all, product) => all + product, 0);
    return `Row ${Math.floor(window / across)}, column ${window % across}: the products add up to ` +
      `${text.number(total, 0)}, and their mean is ${text.number(total, 0)}/${products.length} = ` +
      `${text.number(total / products.length)}.`;
  }

  /* The side of the letter and of the template, and how many windows lie across. */
  function sizes() {
    const side = Math.sqrt(state.fields.letter.length), size = Math.sqrt(state.fields.template.length);
    return { side, size, across: side - size + 1 };
  }

  function position() {
    return { index: state.fields.window, count: sizes().across ** 2 };
  }

  /* The indices of the letter's pixels in a window. */
  function under(window) {
    const { side, size, across } = sizes(), start = Math.floor(window / across) * side + (window % across);
    return Array.from({ length: size ** 2 }, (_, at) => start + Math.floor(at / size) * side + (at % size));
  }

  /* The means of the products of all windows up to the present one; NaN behind it. */
  function means() {
    const { letter: pixels, template, window } = state.fields;
    const mean = (cells) => cells.reduce((all, cell, at) => all + pixels[cell] * template[at], 0) / cells.length;
    return Array.from({ length: position().count }, (_, index) => (index > window ? NaN : mean(under(index))));
  }

  function choose(field) {
    const present = String(state.fields[field]);
    const name = Object.keys(known[field]).find((each) => String(known[field][each].flat()) === present);
    place.querySelector(`[name=${field}]`).value = name || "";
  }

  /* Tables are made anew; the key focus stays at the same cell. */
  function keepFocus(change) {
    const { act, index } = document.activeElement.dataset;
    change();
    const cell = act && place.querySelector(`[data-act="${act}"][data-index="${index}"]`);
    if (cell) cell.focus();
  }

  function turn(field, at) {
    state.set({ [field]: state.fields[field].map((value, index) => (index === at ? -value : value)) });
  }
};
