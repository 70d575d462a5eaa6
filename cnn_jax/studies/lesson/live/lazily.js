/* Panels that compute much: they wait until the reader can see them, and until the drawing rests. */
Lesson.lazily = (() => {
  const QUIET = 150; // milliseconds without another stroke

  /* Calls the listener where a field of `own` has changed, and after a pause where one of `others` has; but only when the
  place is near the window or printed. */
  function lazily(place, own, others, listener) {
    let isStale = true, isNear = false, timer = 0;
    const update = () => {
      if (!isStale || !isNear) return;
      isStale = false;
      listener(Lesson.state.fields);
    };
    const changed = (wait) => {
      isStale = true;
      clearTimeout(timer);
      if (wait) timer = setTimeout(update, wait);
      else update();
    };
    Lesson.state.subscribe(own, () => changed(0));
    Lesson.state.subscribe(others, () => changed(QUIET));
    const sight = new IntersectionObserver((entries) => {
      isNear = entries[entries.length - 1].isIntersecting;
      update();
    }, { rootMargin: "50%" });
    sight.observe(place);
    addEventListener("beforeprint", () => {
      isNear = true;
      update();
    });
  }

  return lazily;
})();
