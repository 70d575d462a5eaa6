/* How many of the page's test images the changed network still answers correctly. The field `score` of the state is this
number, or null while it is computed. */
Lesson.scores = (() => {
  const { state, tried } = Lesson;
  let job = null;

  /* As trained: the answers were computed when the page was made. */
  function trained() {
    const answers = Lesson.data.gallery.answers[tried.index()];
    return Lesson.gallery.sample().labels.filter((label, index) => answers[index] === label).length;
  }

  function start() {
    if (job) return;
    job = Lesson.jobs.place();
    state.subscribe(["networks"], () => {
      const network = tried.now(), isTrained = network === tried.trained();
      state.set({ score: isTrained ? trained() : null });
      if (!isTrained) job.start("score", [network, Lesson.gallery.sample()], ({ right }) => state.set({ score: right }));
    });
  }

  /* Keeps an element up to date with a sentence about the scores. */
  function show(element) {
    start();
    state.subscribe(["score"], ({ score }) => {
      const count = Lesson.data.gallery.sample;
      element.textContent = `Of ${count} test images it answers ${trained()} correctly as trained, and ${score ?? "…"} now.`;
    });
  }

  return { show };
})();
