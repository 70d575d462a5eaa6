/* Curves of shares over an amount, as an SVG drawing as wide as its place. */
Lesson.curves = (() => {
  const HEIGHT = 260, LEFT = 58, RIGHT = 12, TOP = 12, BOTTOM = 44;
  const SHAPES = [ // each line has a colour, a dash and a mark of its own
    (x, y) => `<circle cx="${x}" cy="${y}" r="4"/>`,
    (x, y) => `<rect x="${x - 4}" y="${y - 4}" width="8" height="8"/>`,
    (x, y) => `<path d="M${x} ${y - 5}l5 9h-10z"/>`,
  ];

  /* amounts: in ascending order. lines: [{name, shares}], shares of 1, or none yet. mark: the amount now. */
  function drawing({ title, axis, amounts, lines, mark, width }) {
    const [least, most] = [amounts[0], amounts[amounts.length - 1]];
    const x = (amount) => tenths(LEFT + (width - LEFT - RIGHT) * (amount - least) / (most - least));
    const y = (share) => tenths(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share));
    const now = x(Math.min(Math.max(mark, least), most));
    return `<svg viewBox="0 0 ${width} ${HEIGHT}" width="${width}" height="${HEIGHT}" role="img" ` +
      `aria-label="${Lesson.text.escaped(title)}">${levels(y, width)}` +
      `${amounts.map((amount) => label(x(amount), HEIGHT - BOTTOM + 20, signed(amount))).join("")}` +
      `${label((LEFT + width - RIGHT) / 2, HEIGHT - 6, axis)}<path class="now-line" d="M${now} ${TOP}V${HEIGHT - BOTTOM}"/>` +
      `${lines.map((line, index) => curve(line, index, amounts, x, y)).join("")}</svg>`;
  }

  const tenths = (value) => Math.round(10 * value) / 10;
  const label = (x, y, words) => `<text x="${x}" y="${y}" text-anchor="middle">${words}</text>`;

  function levels(y, width) {
    const level = (share) => `<path class="grid-line" d="M${LEFT} ${y(share)}H${width - RIGHT}"/>` +
      `<text x="${LEFT - 8}" y="${y(share) + 5}" text-anchor="end">${100 * share} %</text>`;
    return [0, 0.25, 0.5, 0.75, 1].map(level).join("");
  }

  function curve({ name, shares }, index, amounts, x, y) {
    if (!shares) return "";
    const points = shares.map((share, at) => [x(amounts[at]), y(share)]);
    const words = (at) => `${Lesson.text.escaped(name)}, ${signed(amounts[at])}: ${Lesson.shares.percent(shares[at])}`;
    const marks = points.map((point, at) => `<g><title>${words(at)}</title>${SHAPES[index](...point)}</g>`);
    return `<g class="line line-${index}"><polyline points="${points.join(" ")}"/>${marks.join("")}</g>`;
  }

  /* The names of the lines with their marks, as HTML. */
  function legend(lines) {
    const entry = ({ name }, index) => '<li><svg width="34" height="14" aria-hidden="true">' +
      `<g class="line line-${index}"><polyline points="2,7 32,7"/>${SHAPES[index](17, 7)}</g></svg> ` +
      `${Lesson.text.escaped(name)}</li>`;
    return `<ul class="legend">${lines.map(entry).join("")}</ul>`;
  }

  const signed = (amount) => (amount > 0 ? `+${amount}` : String(amount).replace("-", "\u2212"));

  return { drawing, legend, signed };
})();
