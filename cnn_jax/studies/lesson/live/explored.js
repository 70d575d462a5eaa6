/* The state of the panels in which the reader explores: what it is at first, and how a link says it, such as
`#image=4821&off=1:5,7;5:9&moment=2&cell=4,9`. */
Lesson.explored = (() => {
  /* The fields, when the page is opened. */
  function fields({ tried = null, moments, networks }) {
    const first = tried === null ? 1 : networks[tried].layers.findIndex(({ kind }) => kind === "convolution");
    return {
      ...{ off: {}, kernels: {}, score: null, filter: 0, channels: first },
      ...{ changes: Lesson.change.NONE, over: "right", curvesOf: "picture", truth: null },
      ...{ moment: moments ? moments.moments.length - 1 : 0, momentLayer: first },
      ...{ confusionOf: 0, cell: null, question: 0 },
    };
  }

  /* As in `links.js`. */
  const parts = {
    image: { field: "drawing", write: ({ index }) => (index === undefined ? null : String(index)), read: imageFrom },
    off: { field: "off", write: asText, read: (text) => fromText(text, whole) },
    kernel: { field: "kernels", write: asText, read: (text) => fromText(text, number) },
    filter: { field: "filter", write: String, read: (text) => below(text, layers().length ? layers()[1].shape[2] : 0) },
    channels: { field: "channels", write: String, read: convolutionFrom },
    change: { field: "changes", write: (changes) => Object.values(changes).join(","), read: changesFrom },
    over: { field: "over", write: String, read: (text) => (text in Lesson.change.NONE ? text : undefined) },
    curves: { field: "curvesOf", write: String, read: (text) => (text === "mean" ? text : undefined) },
    moment: { field: "moment", write: String, read: (text) => below(text, Lesson.training.count()) },
    maps: { field: "momentLayer", write: String, read: convolutionFrom },
    matrix: { field: "confusionOf", write: String, read: (text) => below(text, Lesson.data.networks.length) },
    cell: { field: "cell", write: String, read: cellFrom },
    question: { field: "question", write: String, read: (text) => below(text, Lesson.questions.all.length) },
  };

  const layers = () => ((Lesson.data.tried ?? null) === null ? [] : Lesson.data.networks[Lesson.data.tried].layers);

  function whole(text) {
    return /^\d{1,6}$/.test(text) ? Number(text) : undefined;
  }

  function number(text) {
    return /^-?\d{1,6}(\.\d{1,3})?$/.test(text) ? Number(text) : undefined;
  }

  const below = (text, count) => (whole(text) < count ? whole(text) : undefined);

  function imageFrom(text) {
    const at = Lesson.data.gallery ? Lesson.gallery.all().indices.indexOf(whole(text)) : -1;
    return at < 0 ? undefined : Lesson.gallery.drawing(at);
  }

  function convolutionFrom(text) {
    const layer = layers()[whole(text)];
    return layer && layer.kind === "convolution" ? whole(text) : undefined;
  }

  function cellFrom(text) {
    return /^\d+,\d+$/.test(text) && text.split(",").every((index) => index < Lesson.data.classes.length) ? text : undefined;
  }

  /* As in `1:5,7;5:9`: lists by a whole number. */
  function asText(lists) {
    const texts = Object.entries(lists).map(([index, values]) => `${index}:${values.join(",")}`);
    return texts.length ? texts.join(";") : null;
  }

  function fromText(text, read) {
    const lists = Object.fromEntries(text.split(";").filter(Boolean).map((part) => {
      const [index, values = ""] = part.split(":");
      return [index, values.split(",").map(read)];
    }));
    const isGood = ([index, values]) => whole(index) !== undefined && !values.includes(undefined);
    return Object.entries(lists).every(isGood) ? lists : undefined;
  }

  function changesFrom(text) {
    const values = text.split(",").map(number), names = Object.keys(Lesson.change.NONE);
    if (values.length !== names.length || values.includes(undefined)) return undefined;
    return Object.fromEntries(names.map((name, index) => [name, values[index]]));
  }

  return { fields, parts };
})();
