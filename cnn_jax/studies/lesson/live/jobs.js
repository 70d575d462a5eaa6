/* Runs functions of `trials.js` in workers, so that the page answers while they run. Without workers they run in the
page, which then waits for them. */
Lesson.jobs = (() => {
  const SOURCES = ["network.js", "trials.js"];
  const LISTEN = "onmessage = ({ data: [name, values] }) => postMessage(Lesson.trials[name](...values));";

  /* A place for one kind of job: start(name, values, tell) calls tell(result). Of the jobs that come while one runs only
  the newest counts, and then also the one that runs is not told. */
  function place() {
    let worker = null, running = null, next = null;

    function start(...job) {
      if (running) next = job;
      else run(job);
    }

    function run([name, values, tell]) {
      running = tell;
      worker = worker || made(done);
      if (worker) worker.postMessage([name, values]);
      else setTimeout(() => done(Lesson.trials[name](...values)));
    }

    function done(result) {
      const [tell, job] = [running, next];
      running = next = null;
      if (job) run(job);
      else tell(result);
    }

    return { start };
  }

  function made(tell) {
    if (!Lesson.state.fields.hasWorkers) return null;
    try {
      const texts = SOURCES.map((name) => document.getElementById(name).textContent);
      const source = new Blob(["const Lesson = {};\n", ...texts, LISTEN], { type: "text/javascript" });
      const worker = new Worker(URL.createObjectURL(source));
      worker.onmessage = ({ data }) => tell(data);
      return worker;
    } catch {
      Lesson.state.set({ hasWorkers: false });
      return null;
    }
  }

  return { place };
})();
