/* Numbers in a small table whose cells have the colours of the scale. */
Lesson.grid = (() => {
  const MOST = 9; // rows or columns; of larger ones nobody reads the numbers

  /* HTML of a table. largest: the end of the scale. marked: the indices of cells to mark. act: what is done where a
  cell is pressed. digits: behind the point. A cell of NaN is empty. */
  function html(values, width, { largest, caption, marked = [], act = "", digits = 2 }) {
    const cell = (value, index) => {
      if (Number.isNaN(value)) return "<td></td>";
      const number = Lesson.text.number(value, digits), content = act ? button(act, index, number) : number;
      const mark = marked.includes(index) ? ' class="marked"' : "";
      return `<td style="${Lesson.colours.style(value, largest)}"${mark}>${content}</td>`;
    };
    const columns = [...Array(width).keys()];
    const rows = Array.from({ length: values.length / width }, (_, row) =>
      `<tr>${columns.map((column) => cell(values[row * width + column], row * width + column)).join("")}</tr>`);
    return `<table class="grid"><caption>${Lesson.text.escaped(caption)}</caption>${rows.join("")}</table>`;
  }

  /* Of many buttons the tabulator key reaches the first; arrows go on from there, by `listen`. */
  function button(act, index, text) {
    const data = `data-act="${act}" data-index="${index}"`;
    return `<button type="button" ${data} tabindex="${index ? -1 : 0}">${text}</button>`;
  }

  function listen(place) {
    place.addEventListener("keydown", (event) => {
      const { act, index } = event.target.dataset, table = event.target.closest("table.grid");
      if (!act || !table) return;
      const width = table.rows[0].cells.length;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width };
      const next = step[event.key] && table.querySelector(`[data-index="${Number(index) + step[event.key]}"]`);
      if (!next) return;
      next.focus();
      event.preventDefault();
    });
  }

  function isReadable(values, width) {
    return width <= MOST && values.length / width <= MOST;
  }

  /* HTML of the same as a picture where it is too large for numbers; `paintAll` fills these. */
  function shown(values, width, options) {
    if (isReadable(values, width)) return html(values, width, options);
    const numbers = Array.from(values, (value) => value.toPrecision(4)).join(" ");
    return `<figure class="grid"><figcaption>${Lesson.text.escaped(options.caption)}</figcaption>` +
      `<canvas data-width="${width}" data-largest="${options.largest}" data-numbers="${numbers}"></canvas></figure>`;
  }

  function paintAll(place) {
    for (const canvas of place.querySelectorAll("canvas[data-numbers]")) {
      const numbers = canvas.dataset.numbers.split(" ").map(Number), width = Number(canvas.dataset.width);
      const places = { height: numbers.length / width, width, count: 1, columns: 1, rows: 1, gap: 0 };
      [canvas.width, canvas.height] = [width * 8, places.height * 8];
      Lesson.picture.paint(canvas, Lesson.picture.mosaic(numbers, places, Number(canvas.dataset.largest)));
    }
  }

  /* The index of the number under the pointer in such a picture. */
  function under({ target, offsetX, offsetY }) {
    const width = Number(target.dataset.width), height = target.height / target.width * width;
    const row = Math.floor(offsetY / target.clientHeight * height);
    const column = Math.floor(offsetX / target.clientWidth * width);
    return Math.min(Math.max(row, 0), height - 1) * width + Math.min(Math.max(column, 0), width - 1);
  }

  return { html, listen, shown, isReadable, paintAll, under };
})();
