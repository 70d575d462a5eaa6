/* The test images that the page carries. The first `sample` of them are those that networks are scored on again. */
Lesson.gallery = (() => {
  let known = null;

  /* {labels, indices, pictures: [Uint8Array], sample}. `indices` are those of the test set. */
  function all() {
    if (known) return known;
    const { images, ...others } = Lesson.data.gallery;
    const { shape } = Lesson.data.networks[0].layers[0];
    return (known = { ...others, pictures: unpacked(images, shape[0] * shape[1]) });
  }

  /* Reads runs: a number of zeros, a number of other bytes, and these bytes. */
  function unpacked(text, size) {
    const runs = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const pictures = [];
    let picture = null, filled = size;
    for (let at = 0; at < runs.length; at += 2 + runs[at + 1]) {
      if (filled === size) {
        pictures.push((picture = new Uint8Array(size)));
        filled = 0;
      }
      filled += runs[at];
      picture.set(runs.subarray(at + 2, at + 2 + runs[at + 1]), filled);
      filled += runs[at + 1];
    }
    return pictures;
  }

  /* The images that networks are scored on: {pictures, labels}. */
  function sample() {
    const { pictures, labels, sample: count } = all();
    return { pictures: pictures.slice(0, count), labels: labels.slice(0, count) };
  }

  /* An image as a drawing, which knows its class. at: its place in `all()`. */
  function drawing(at) {
    const { pictures, labels, indices } = all();
    const side = Lesson.data.networks[0].layers[0].shape[0];
    return { kind: "pixels", side, pixels: pictures[at], label: labels[at], index: indices[at], isPrepared: true };
  }

  return { all, sample, drawing };
})();
