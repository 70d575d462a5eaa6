/* One scale of colours for all numbers: blue is below zero, white is zero, red is above. Its ends are labelled. */
Lesson.colours = (() => {
  const STOPS = [ // ColorBrewer's RdBu, which the pictures of the other sections have too
    [5, 48, 97], [33, 102, 172], [67, 147, 195], [146, 197, 222], [209, 229, 240], [247, 247, 247],
    [253, 219, 199], [244, 165, 130], [214, 96, 77], [178, 24, 43], [103, 0, 31],
  ];
  const HALF = 255; // colours on each side of zero
  const table = Uint32Array.from({ length: 2 * HALF + 1 }, (_, index) => packed(mixed(index / (2 * HALF))));

  function mixed(share) {
    const place = share * (STOPS.length - 1), first = Math.min(Math.floor(place), STOPS.length - 2);
    const between = (value, channel) => value + (place - first) * (STOPS[first + 1][channel] - value);
    return STOPS[first].map((value, channel) => Math.round(between(value, channel)));
  }

  /* A colour as ImageData has it. */
  function packed([red, green, blue]) {
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }

  /* The colour of a number as a pixel of ImageData. largest: the end of the scale; beyond it colours stay the same. */
  function pixel(value, largest) {
    return table[Math.round(Math.min(Math.max(value / largest, -1), 1) * HALF) + HALF];
  }

  /* The same for CSS, with a colour of text that can be read on it. */
  function style(value, largest) {
    const colour = pixel(value, largest), isDark = Math.abs(value / largest) > 0.6;
    const channels = [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
    return `background:rgb(${channels.join(",")});color:${isDark ? "#ffffff" : "#1a1a1a"}`;
  }

  /* The scale with its ends. */
  function scale(largest) {
    const steps = STOPS.map((stop) => `rgb(${stop.join(",")})`).join(",");
    const digits = largest < 10 ? 2 : 0;
    return `<span class="scale"><span>${Lesson.text.number(-largest, digits)}</span>` +
      `<span class="ramp" style="background:linear-gradient(90deg,${steps})"></span>` +
      `<span>${Lesson.text.number(largest, digits)}</span></span>`;
  }

  return { pixel, style, scale };
})();
