/* Predict first: the reader answers a question, and then the network does. One question at a time. */
Lesson.panels.predictions = (place) => {
  const { state, text, tried } = Lesson;
  const job = Lesson.jobs.place(), given = new Map(); // the reader's choices, by question
  const questions = Lesson.questions.all.filter(({ needs }) => !needs || needs(context()));

  place.innerHTML = `
    <p class="number-of"></p>
    <form>
      <fieldset class="options"><legend></legend><div></div></fieldset>
      <p class="buttons"><button type="submit">Ask the network</button></p>
    </form>
    <div class="verdict" role="status"></div>
    <p class="buttons">
      <button type="button" data-step="-1">Previous question</button>
      <button type="button" data-step="1">Next question</button></p>`;
  const verdict = place.querySelector(".verdict"), submit = place.querySelector("[type=submit]");
  const [previous, next] = place.querySelectorAll("[data-step]");

  place.addEventListener("click", ({ target }) => {
    if (target.dataset.step) state.set({ question: current() + Number(target.dataset.step) });
  });
  place.addEventListener("change", ({ target }) => {
    given.set(current(), Number(target.value));
    submit.disabled = false;
  });
  place.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(current());
  });
  state.subscribe(["question"], show);
  state.subscribe(["seen"], () => verdict.replaceChildren());

  /* What a question may use: networks as they were trained. */
  function context() {
    const { networks, seen } = state.fields, trained = tried.trained(), [height, width] = trained.layers[0].shape;
    return {
      network: trained,
      networks: networks.map((network, index) => (index === tried.index() ? trained : network)),
      untrained: Lesson.training.networks()[0],
      picture: { height, width, pixels: seen },
      sample: Lesson.gallery.sample(),
      ask: (name, values) => new Promise((resolve) => job.start(name, values, resolve)),
    };
  }

  function choicesOf({ choices }) {
    return typeof choices === "function" ? choices(context()) : choices;
  }

  /* A link of another page may name a question that is not here. */
  function current() {
    return Math.min(state.fields.question, questions.length - 1);
  }

  function show() {
    const at = current();
    place.querySelector(".number-of").textContent =
      `Question ${at + 1} of ${questions.length}, about the picture on the paper`;
    place.querySelector("legend").textContent = questions[at].question;
    place.querySelector("fieldset div").innerHTML = choicesOf(questions[at]).map(([words], choice) =>
      `<label><input type="radio" name="choice" value="${choice}"${given.get(at) === choice ? " checked" : ""}> ` +
      `${text.escaped(words)}</label>`).join("");
    submit.disabled = !given.has(at);
    [previous.disabled, next.disabled] = [at === 0, at === questions.length - 1];
    verdict.replaceChildren();
  }

  async function ask(at) {
    verdict.textContent = "The network is asked …";
    const found = await questions[at].measure(context());
    if (at !== current()) return;
    const choices = choicesOf(questions[at]), holds = choices.findIndex(([, isTrue]) => isTrue(found));
    const begin = holds === given.get(at) ? "As you said" : "Not as you said";
    verdict.innerHTML = `<p><strong>${begin}: ${text.escaped(choices[holds][0])}.</strong></p>` +
      `<p>${text.escaped(questions[at].words(found))}</p>`;
  }
};
