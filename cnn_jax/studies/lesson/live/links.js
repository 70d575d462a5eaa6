/* A link to each state: `#network=1&layer=3&unit=5,7,12&form=off&strokes=...`, all counted from 0. What the
page starts with is left out.

Coordinates of strokes are thousandths of the paper's side in base 36, two digits each, strokes end with a point. Of
pixels there are the side and the levels, in which each run of paper is a zero and its length, in base64. Letters and
templates have a 1 for ink. */
Lesson.links = (() => {
  const { state } = Lesson;
  const QUIET = 250; // milliseconds without a change; browsers complain about an address that changes all the time

  /* For each part of a link: the field, its text, and its value from a text, which is undefined where that is none. */
  const PARTS = {
    at: { field: "at", write: String, read: (text) => (/^\w+$/.test(text) ? text : undefined) },
    network: { field: "network", write: (index) => String(index), read: whole },
    layer: { field: "layer", write: (index) => String(index), read: whole },
    unit: { field: "unit", write: (unit) => unit.join(","), read: (text) => text.split(",").map(whole) },
    channel: { field: "channel", write: String, read: whole },
    form: { field: "inForm", write: (inForm) => (inForm ? "on" : "off"), read: (text) => text !== "off" },
    strokes: { field: "drawing", write: strokesAsText, read: strokesFrom },
    pixels: { field: "drawing", write: pixelsAsText, read: pixelsFrom },
    letter: { field: "letter", write: signsAsText, read: signsFrom },
    template: { field: "template", write: signsAsText, read: signsFrom },
    window: { field: "window", write: String, read: whole },
    ...Lesson.explored.parts,
  };
  const FIELDS = Object.values(PARTS).map((part) => part.field);

  /* Applies the page's own link, and keeps the address at the state from then on. */
  function start() {
    const first = Object.fromEntries(FIELDS.map((field) => [field, state.fields[field]]));
    const follow = () => {
      if (location.hash.includes("=")) state.set({ ...first, ...fitting(read(location.hash), first) });
    };
    follow();
    addEventListener("hashchange", () => {
      follow();
      go();
    });
    for (const kind of ["pointerdown", "focusin"]) addEventListener(kind, ({ target }) => notePanel(target));
    let shown = write(state.fields, first), settled = 0;
    const show = () => {
      const link = write(state.fields, first);
      if (link !== shown) history.replaceState(null, "", link);
      shown = link;
    };
    state.subscribe(FIELDS, () => {
      clearTimeout(settled);
      settled = setTimeout(show, QUIET);
    });
  }

  function notePanel(target) {
    const panel = target.closest && target.closest("[data-panel]");
    if (panel) state.set({ at: panel.dataset.panel });
  }

  /* Shows the section that the link is about. */
  function go() {
    const panel = location.hash.includes("at=") && document.querySelector(`[data-panel="${state.fields.at}"]`);
    if (panel) panel.closest("section").scrollIntoView();
  }

  function write(fields, first) {
    const isChosen = ([, { field }]) => fields[field] !== first[field] && fields[field] !== null;
    const parts = Object.entries(PARTS).filter(isChosen);
    const texts = parts.map(([name, { field, write: asText }]) => [name, asText(fields[field])]);
    return `#${texts.filter(([, text]) => text !== null).map((pair) => pair.join("=")).join("&")}`;
  }

  function read(hash) {
    const found = {};
    for (const [name, text] of new URLSearchParams(hash.slice(1))) {
      const value = PARTS[name] && PARTS[name].read(text);
      if (value !== undefined) found[PARTS[name].field] = value;
    }
    return found;
  }

  /* What of a link is on this page: a link to another run's page may name a layer that is not here. */
  function fitting(found, first) {
    const { networks } = state.fields, { network, layer, unit } = { ...first, ...found };
    const chosen = networks[network] && networks[network].layers[layer];
    const isHere = chosen && chosen.kind !== "flatten" && unit.length === chosen.shape.length &&
      unit.every((index, axis) => index >= 0 && index < chosen.shape[axis]);
    return isHere ? found : { ...found, network: first.network, layer: first.layer, unit: first.unit };
  }

  function whole(text) {
    return /^\d{1,6}$/.test(text) ? Number(text) : undefined;
  }

  function strokesAsText({ kind, strokes }) {
    const share = (value) => Math.round(value * 1000).toString(36).padStart(2, "0");
    return kind === "strokes" ? strokes.map((stroke) => `${stroke.map(share).join("")}.`).join("") : null;
  }

  function strokesFrom(text) {
    const strokes = text.split(".").filter(Boolean).map((stroke) =>
      stroke.match(/..?/g).map((pair) => parseInt(pair, 36) / 1000));
    const isPlace = (share) => share >= 0 && share <= 1.3; // the largest number of two digits is 1295
    const isGood = strokes.every((stroke) => stroke.length % 2 === 0 && stroke.every(isPlace));
    return isGood ? { kind: "strokes", strokes } : undefined;
  }

  function pixelsAsText({ kind, side, pixels, index, isPrepared }) {
    if (kind !== "pixels" || index !== undefined) return null;
    const bytes = [];
    for (let index = 0; index < pixels.length; index++) {
      let run = 1;
      while (!pixels[index] && run < 255 && pixels[index + run] === 0) run++;
      bytes.push(pixels[index]);
      if (!pixels[index]) bytes.push(run);
      if (!pixels[index]) index += run - 1;
    }
    const base64 = btoa(String.fromCharCode(...bytes));
    return `${side}.${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}${isPrepared ? ".prepared" : ""}`;
  }

  function pixelsFrom(text) {
    const [side, base64, prepared] = text.split("."), pixels = [];
    try {
      const bytes = atob((base64 || "").replaceAll("-", "+").replaceAll("_", "/"));
      for (let index = 0; index < bytes.length; index++) {
        const level = bytes.charCodeAt(index);
        if (level) pixels.push(level);
        else pixels.push(...new Array(bytes.charCodeAt(++index)).fill(0));
      }
    } catch {
      return undefined;
    }
    if (pixels.length !== side * side) return undefined;
    return { kind: "pixels", side: Number(side), pixels: Uint8Array.from(pixels), isPrepared: Boolean(prepared) };
  }

  function signsAsText(signs) {
    return signs.map((sign) => (sign > 0 ? 1 : 0)).join("");
  }

  function signsFrom(text) {
    return /^([01]{9}|[01]{81})$/.test(text) ? Array.from(text, (sign) => (sign === "1" ? 1 : -1)) : undefined;
  }

  return { start, go };
})();
