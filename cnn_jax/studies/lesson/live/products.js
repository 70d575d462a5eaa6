/* The products of a unit of a convolution or a dense layer: the channels to choose from, one channel's numbers, and how
they add up. terms: from `arithmetic.terms`. */
Lesson.products = (() => {
  const { state, text, grid, picture, regions } = Lesson;

  /* The channel that the reader wants, or the one that counts most. */
  function channelOf(wanted, { channels }) {
    if (wanted !== null) return Math.min(wanted, channels.length - 1);
    const sizes = channels.map(({ sum }) => Math.abs(sum));
    return sizes.indexOf(Math.max(...sizes));
  }

  /* The sums of all channels as a picture, of which a slider or a click takes one. The slider is made once, so that it
  keeps the focus. */
  function showChoices(place, { channels }, channel) {
    place.hidden = channels.length === 1;
    if (!place.firstChild) {
      place.innerHTML = `<label>channel <input type="range" name="channel" min="0"> <output></output></label>
        <span>The sum of each channel: <span class="ends"></span></span><canvas role="img"></canvas>`;
      listen(place);
    }
    const [slider, output, canvas, ends] =
      ["input", "output", "canvas", ".ends"].map((part) => place.querySelector(part));
    const sums = channels.map(({ sum }) => sum), largest = Math.max(...sums.map(Math.abs)) || 1;
    [slider.max, slider.value] = [sums.length - 1, channel];
    output.textContent = `${channel} (0 to ${sums.length - 1})`;
    ends.innerHTML = Lesson.colours.scale(largest);
    paintSums(canvas, sums, largest, channel);
  }

  function paintSums(canvas, sums, largest, channel) {
    const places = picture.layout([sums.length]), [across, down] = picture.size(places), zoom = across > 16 ? 12 : 18;
    [canvas.width, canvas.height] = [across * zoom, down * zoom];
    canvas.setAttribute("aria-label", "The sums of all channels. The table below has them as numbers.");
    picture.paint(canvas, picture.mosaic(sums, places, largest));
    picture.frame(canvas, places, { top: 0, left: 0, bottom: 1, right: 1 }, channel, zoom);
  }

  function listen(place) {
    place.addEventListener("input", ({ target }) => state.set({ channel: Number(target.value) }));
    place.querySelector("canvas").addEventListener("click", ({ target, offsetX, offsetY }) => {
      const places = picture.layout([Number(place.querySelector("input").max) + 1]);
      const [across, down] = picture.size(places);
      const [x, y] = [offsetX / target.clientWidth * across, offsetY / target.clientHeight * down];
      const found = picture.unitAt(places, x, y);
      if (found) state.set({ channel: found[2] });
    });
  }

  /* HTML of window x kernel = products of a channel, and of the sums as sentences. */
  function html(network, index, terms, channel) {
    const layer = network.layers[index], source = network.layers[regions.source(network, index)];
    const { values, weights, products } = terms.channels[channel];
    const shown = (numbers, caption, largest) => grid.shown(numbers, terms.width, { caption, largest, digits: 3 });
    return [
      shown(values, `window of ${source.name}`, source.largest),
      '<span class="sign">x</span>',
      shown(weights, "kernel", layer.largest_weight),
      '<span class="sign">=</span>',
      shown(products, "products", source.largest * layer.largest_weight),
      sentences(layer, terms, channel),
    ].join("");
  }

  function sentences(layer, { channels, bias, sum, value }, channel) {
    const own = text.number(channels[channel].sum, 3), all = text.number(sum - bias, 3), count = channels.length;
    const added = count > 1
      ? `The products of channel ${channel} add up to ${own}, and those of all ${count} channels to ${all}.`
      : `The products add up to ${own}.`;
    const relu = layer.relu ? ` The ReLU makes of it <b>${text.number(value, 3)}</b>.` : "";
    return `<p>${added} With the bias ${text.number(bias, 3)} this is <b>${text.number(sum, 3)}</b>.${relu}</p>`;
  }

  /* The rows of a table with every number of every channel; of large windows, with the product that counts most. */
  function rows({ width, channels }) {
    if (!grid.isReadable(channels[0].values, width)) return largeRows(width, channels);
    const numbers = (values) => Array.from(values, (value) => text.number(value, 3)).join(" ");
    return [["channel", "window", "kernel", "sum of products"], ...channels.map(({ values, weights, sum }, channel) =>
      [channel, numbers(values), numbers(weights), text.number(sum, 3)])];
  }

  function largeRows(width, channels) {
    const row = ({ values, weights, products, sum }, channel) => {
      const sizes = products.map(Math.abs), at = sizes.indexOf(Math.max(...sizes));
      const numbers = [values[at], weights[at]].map((value) => text.number(value, 3));
      const place = [Math.floor(at / width), at % width];
      return [channel, text.number(sum, 3), text.number(products[at], 3), ...place, ...numbers];
    };
    const headings = ["channel", "sum of products", "largest product", "its row", "its column", "window", "kernel"];
    return [headings, ...channels.map(row)];
  }

  /* A product as a sentence. at: its index in the window. */
  function sentence({ width, channels }, channel, at) {
    const { values, weights, products } = channels[channel];
    const [value, weight, product] = [values[at], weights[at], products[at]].map((number) => text.number(number, 4));
    return `Row ${Math.floor(at / width)}, column ${at % width} of the window: ${value} x ${weight} = ${product}.`;
  }

  return { sentence, channelOf, showChoices, html, rows };
})();
