/* Groups of inputs of which the reader chooses, as HTML. Labels are text. */
Lesson.choices = (() => {
  const { escaped } = Lesson.text;

  /* Radio buttons beside each other. options: [[value, label], ...]. */
  function radios(legend, name, options) {
    const button = ([value, label]) =>
      `<label><input type="radio" name="${name}" value="${value}"> ${escaped(label)}</label>`;
    return `<fieldset class="inline"><legend>${legend}</legend>${options.map(button).join("")}</fieldset>`;
  }

  /* Small canvases to choose from, named by their number. type: `radio` or `checkbox`. */
  function pictures(type, name, noun, count) {
    const one = (_, index) => `<label title="${noun} ${index}"><input type="${type}" name="${name}" value="${index}"` +
      ` aria-label="${noun} ${index}"><canvas></canvas></label>`;
    return Array.from({ length: count }, one).join("");
  }

  /* The options of a <select>. */
  function options(pairs) {
    return pairs.map(([value, label]) => `<option value="${value}">${escaped(label)}</option>`).join("");
  }

  /* Ticks the radio button with this value. */
  function tick(place, name, value) {
    for (const radio of place.querySelectorAll(`[type=radio][name=${name}]`)) radio.checked = radio.value === String(value);
  }

  return { radios, pictures, options, tick };
})();
