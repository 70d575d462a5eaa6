/* The slow networks are computed beside the page, so that it answers while they are. A worker is made from the source
of `network.js`; it is asked with {network} or {picture}, and answers a picture with {maps}. */
Lesson.worker = (() => {
  const LISTEN = `onmessage = ({ data }) => {
    if (data.network) self.network = data.network;
    else postMessage({ maps: Lesson.network.run(self.network, data.picture) });
  };`;

  /* Computes pictures with a network, one after the other; `tell(maps)` is called after each. Of the pictures that come
  while one is computed only the newest counts. Throws where the browser has no workers. */
  function of(tell) {
    const source = ["const Lesson = {};", document.getElementById("network.js").textContent, LISTEN];
    const worker = new Worker(URL.createObjectURL(new Blob(source, { type: "text/javascript" })));
    let known = null, isBusy = false, next = null;

    function compute(network, picture) {
      if (isBusy) {
        next = [network, picture];
        return;
      }
      if (network !== known) worker.postMessage({ network });
      worker.postMessage({ picture });
      [known, isBusy, next] = [network, true, null];
    }

    worker.onmessage = ({ data }) => {
      isBusy = false;
      if (next) compute(...next);
      else tell(data.maps);
    };
    return { compute };
  }

  return { of };
})();
