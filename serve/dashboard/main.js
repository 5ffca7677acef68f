// The state of the page, and its rendering.

import { askForToken } from "./access.js";
import { h, morph } from "./dom.js";
import { address, replayed } from "./history.js";
import { earlier, loadPage } from "./page_data.js";
import { PHASES } from "./rollout.js";
import { sections } from "./sections.js";
import { title } from "./sentence.js";
import { now_s, Refused } from "./server.js";
import { Poller } from "./poller.js";
import { duration, moment } from "./format.js";

const state = {
  data: null,
  loaded_s: null,
  failure: null,
  notice: null,
  replay: null,
  // Whether the token dialog was shown, and whether an act happened since the last load.
  tokenAsked: false,
  acted: false,
};

const page = {
  view: () => state.data?.view ?? null,
  replay: () => state.replay,
  reload: reloadAll,
  draw: () => requestAnimationFrame(draw),
  notify: (message) => show({ notice: message }),
  fail: (error) => (error.status === 401 ? needToken(error) : show({ notice: error.message })),
  stays: (error) => error.status !== 401 || (needToken(error), false),
  earlier: async () =>
    show({ data: { ...state.data, trail: await earlier(state.data.model, state.data.trail) } }),
  startReplay: async (rollout) => {
    show({ replay: { rollout, running: true } });
    show({ replay: await replayed(rollout) });
  },
  go: async (model, rollout) => {
    location.hash = address(model, rollout);
    await reloadAll();
  },
};

const poller = new Poller(async () => {
  const selected = place();
  // The first turn loads everything.
  const before = state.acted && state.data ? { ...state.data, turn: -1 } : state.data;
  state.acted = false;
  let data;
  try {
    data = await loadPage(selected, before);
  } catch (error) {
    show({ failure: error });
    if (error.status === 401 && !state.tokenAsked) needToken(error);
    return false;
  }
  // Unless the reader has opened another view meanwhile.
  if (JSON.stringify(selected) === JSON.stringify(place())) show({ data, loaded_s: now_s(), failure: null });
  return true;
});

/** Look at everything after an act, also at the parts that are loaded less often. */
function reloadAll() {
  state.acted = true;
  return poller.now();
}

function needToken(error) {
  state.tokenAsked = true;
  askForToken(error.message, async () => {
    show({ notice: null });
    await poller.now();
    if (state.failure instanceof Refused) throw state.failure;
  });
}

function place() {
  try {
    const [model, rollout] = location.hash.slice(1).split("/").map(decodeURIComponent);
    return { model: model || null, rollout: rollout ?? null };
  } catch {
    // The address was edited by hand and is not valid.
    return { model: null, rollout: null };
  }
}

function show(change) {
  Object.assign(state, change);
  draw();
}

function draw() {
  const { data, failure } = state;
  morph(document.getElementById("models"), h("nav", { id: "models", "aria-label": "Models" }, tabs(data)));
  morph(document.getElementById("pulse"), connectionState());
  morph(
    document.getElementById("picture"),
    h("main", { id: "picture", class: failure ? "stale" : null }, content()),
  );
  document.title = data?.model ? title(data.model, data.view, data.rolling) : "Counterweight";
  announcePhase();
}

function tabs(data) {
  const link = (model) =>
    h(
      "a",
      { "data-key": model, href: address(model, null), "aria-current": model === data.model ? "page" : null },
      model,
      data.rolling.includes(model) &&
        h("span.rolling", { title: "rollout in progress" }, h("span.unseen", null, " (rollout in progress)")),
    );
  return (data?.models ?? []).map(link);
}

function connectionState() {
  const { failure, loaded_s, data } = state;
  const text = failure
    ? loaded_s === null
      ? "no answer"
      : `as of ${duration(now_s() - loaded_s)} ago`
    : data
      ? "live"
      : "asking";
  return h(
    "span",
    { id: "pulse", class: failure ? "off" : "on", title: loaded_s === null ? null : moment(loaded_s) },
    text,
  );
}

function content() {
  const { data, failure, notice } = state;
  return [
    failure && h("p.notice.bad", { role: "alert", "data-key": "failure" }, describeFailure(failure)),
    notice &&
      h(
        "p.notice",
        { role: "alert", "data-key": "notice" },
        notice,
        " ",
        h("button.quiet", { type: "button", onclick: () => show({ notice: null }) }, "Dismiss"),
      ),
    h(
      "div.body",
      { "data-key": "body" },
      !data
        ? !failure && h("p.empty", null, "Loading …")
        : data.model
          ? sections(data, page, now_s())
          : noModel(),
    ),
  ];
}

function describeFailure(failure) {
  const { loaded_s } = state;
  const kept =
    loaded_s === null
      ? ""
      : ` The state shows the state of ${moment(loaded_s).slice(11)}, ${duration(now_s() - loaded_s)} ago.`;
  if (failure.status === 401)
    return [
      `${failure.message} `,
      h("button", { type: "button", onclick: () => needToken(failure) }, "Enter the token …"),
    ];
  const text =
    failure instanceof Refused
      ? `The server says: ${failure.message}`
      : `The server does not answer: ${failure.message}.`;
  return `${text}${kept} Trying again.`;
}

function noModel() {
  return h(
    "section.hero.tone-NONE",
    null,
    h(
      "h2",
      null,
      "No model is served here yet. ",
      h("span.rest", null, "Export one into the repository, then load it or restart the server."),
    ),
  );
}

/** For screen readers: only changes of the phase or the step, not every count. */
function announcePhase() {
  const view = page.view();
  const step = view?.rollout.step ? `, step ${view.rollout.step}` : "";
  const text = view ? `${view.rollout.plan.candidate}: ${PHASES[view.rollout.phase]}${step}` : "";
  const status = document.getElementById("spoken");
  if (status.textContent !== text) status.textContent = text;
}

document.getElementById("token").onclick = () =>
  askForToken("Enter the token if this server needs one (it was started with --tokens).", () =>
    poller.now(),
  );
window.addEventListener("hashchange", () => poller.now());
window.addEventListener("online", () => poller.now());
// Ages must grow even if no answer arrives.
setInterval(draw, 1000);
poller.now();
