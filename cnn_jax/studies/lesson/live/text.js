/* Numbers, names and tables as text. */
Lesson.text = (() => {
  const NO_WORKERS = "This browser has no workers, so this network is left out: it would hold up each stroke.";

  /* Why a network has no maps. */
  function waiting(hasWorkers) {
    return hasWorkers ? "It is computing." : NO_WORKERS;
  }

  const number = (value, digits = 2) => {
    const text = value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1");
    return text.replace("-", "\u2212");
  };

  const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

  /* As in `Conv_1, map 12, row 5, column 7`, or `Dense_0, unit 3`. */
  function unit(layer, place) {
    if (layer.kind === "input") return `picture, row ${place[0]}, column ${place[1]}`;
    if (place.length === 1) return `${layer.name}, unit ${place[0]}`;
    return `${layer.name}, map ${place[2]}, row ${place[0]}, column ${place[1]}`;
  }

  /* As in `rows 3 to 9, columns 4 to 10`; both ends belong to it. */
  function region({ top, left, bottom, right }) {
    const span = (name, first, end) => (end - first === 1 ? `${name} ${first}` : `${name}s ${first} to ${end - 1}`);
    return `${span("row", top, bottom)}, ${span("column", left, right)}`;
  }

  /* A table behind a picture, made when the reader opens it. make: gives its rows, the headings first. */
  function table(summary, make) {
    const details = document.createElement("details");
    details.innerHTML = `<summary>${escaped(summary)}</summary><div class="wide" tabindex="0"></div>`;
    details.addEventListener("toggle", () => fill(details, make));
    return details;
  }

  function fill(details, make) {
    if (!details.open) return;
    const [headings, ...rows] = make();
    const cells = (row, kind) => `<tr>${row.map((cell) => `<${kind}>${escaped(cell)}</${kind}>`).join("")}</tr>`;
    const body = rows.map((row) => cells(row, "td")).join("");
    details.lastElementChild.innerHTML = `<table><thead>${cells(headings, "th")}</thead><tbody>${body}</tbody></table>`;
  }

  return { waiting, number, escaped, unit, region, table, fill };
})();
