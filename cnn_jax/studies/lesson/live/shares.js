/* Probabilities and other shares of 1 as text. */
Lesson.shares = (() => {
  /* As in `99.1 %`. One that is not quite 0 or 1 is never shown so. */
  function percent(share) {
    const text = (100 * share).toFixed(1);
    if (share > 0 && text === "0.0") return "<0.1 %";
    return share < 1 && text === "100.0" ? ">99.9 %" : `${text} %`;
  }

  /* The index of the most probable class. */
  const best = (shares) => shares.indexOf(Math.max(...shares));

  /* As in `7 with 99.1 %`. */
  const answer = (shares) => `${Lesson.data.classes[best(shares)]} with ${percent(shares[best(shares)])}`;

  /* Rows of bars, as HTML. rows: [[name, share], ...]; a share of null is not known yet. bold: the index of a row. */
  function bars(rows, kind = "", bold = -1) {
    const row = ([name, share], index) => `<li${index === bold ? ' class="best"' : ""}><span>${Lesson.text.escaped(name)}</span> ` +
      `<span class="bar" style="--share: ${(share ?? 0).toFixed(4)}"></span> ` +
      `<span>${share === null ? "…" : percent(share)}</span></li>`;
    return `<ul class="shares ${kind}">${rows.map(row).join("")}</ul>`;
  }

  return { percent, best, answer, bars };
})();
