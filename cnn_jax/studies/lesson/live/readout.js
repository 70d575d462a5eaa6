/* What is said of a unit: its number, what it sees of the picture, and which units it feeds. */
Lesson.readout = (() => {
  const { text, regions } = Lesson;

  function of({ networks, maps }, { network, layer, unit }) {
    const own = networks[network];
    if (!maps[network]) return `${own.title} has no numbers yet.`;
    const at = Lesson.arithmetic.indexOf(own.layers[layer].shape, unit);
    const value = text.number(maps[network][layer].values[at], 3);
    return `${own.title}: ${text.unit(own.layers[layer], unit)} = ${value}.${sees(own, layer, unit)}` +
      feeds(own, regions.fed(own, layer, unit));
  }

  function sees(network, layer, unit) {
    return layer ? ` It sees ${text.region(regions.field(network, layer, unit))} of the picture.` : "";
  }

  function feeds(network, fed) {
    if (!fed) return "";
    const { name, shape } = network.layers[fed.layer];
    if (fed.isNone) return ` Nothing in ${name} reads it: pooling leaves out an odd last row or column.`;
    if (!fed.region) return ` It feeds all ${shape[0]} units of ${name}.`;
    const maps = fed.map === null ? `all ${shape[2]} maps` : `map ${fed.map}`;
    return ` It feeds ${text.region(fed.region)} of ${maps} of ${name}.`;
  }

  return { of };
})();
