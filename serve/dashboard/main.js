// The state of the page, and its rendering.

import { askForToken } from "./access.js";
import { h, morph } from "./dom.js";
import { address, replayed } from "./history.js";
import { earlier, look } from "./picture.js";
import { PHASES } from "./rollout.js";
import { sections } from "./sections.js";
import { title } from "./sentence.js";
import { now_s, Refused } from "./server.js";
import { Watch } from "./watch.js";
import { duration, moment } from "./words.js";

const page = {
  picture: null,
  seen_s: null,
  failure: null,
  notice: null,
  replay: null,
  // Whether the token dialog was shown, and whether an act happened since the last look.
  asked: false,
  acted: false,
};

const desk = {
  view: () => page.picture?.view ?? null,
  replay: () => page.replay,
  look: lookAtAll,
  draw: () => requestAnimationFrame(draw),
  tell: (message) => show({ notice: message }),
  fail: (error) => (error.status === 401 ? needToken(error) : show({ notice: error.message })),
  stays: (error) => error.status !== 401 || (needToken(error), false),
  earlier: async () =>
    show({ picture: { ...page.picture, trail: await earlier(page.picture.model, page.picture.trail) } }),
  startReplay: async (rollout) => {
    show({ replay: { rollout, running: true } });
    show({ replay: await replayed(rollout) });
  },
  go: async (model, rollout) => {
    location.hash = address(model, rollout);
    await lookAtAll();
  },
};

const watch = new Watch(async () => {
  const wanted = place();
  // The first turn loads everything.
  const before = page.acted && page.picture ? { ...page.picture, turn: -1 } : page.picture;
  page.acted = false;
  let picture;
  try {
    picture = await look(wanted, before);
  } catch (error) {
    show({ failure: error });
    if (error.status === 401 && !page.asked) needToken(error);
    return false;
  }
  // Unless the reader has opened another view meanwhile.
  if (JSON.stringify(wanted) === JSON.stringify(place())) show({ picture, seen_s: now_s(), failure: null });
  return true;
});

/** Look at everything after an act, also at the parts that are loaded less often. */
function lookAtAll() {
  page.acted = true;
  return watch.now();
}

function needToken(error) {
  page.asked = true;
  askForToken(error.message, async () => {
    show({ notice: null });
    await watch.now();
    if (page.failure instanceof Refused) throw page.failure;
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
  Object.assign(page, change);
  draw();
}

function draw() {
  const { picture, failure } = page;
  morph(document.getElementById("models"), h("nav", { id: "models", "aria-label": "Models" }, tabs(picture)));
  morph(document.getElementById("pulse"), pulse());
  morph(
    document.getElementById("picture"),
    h("main", { id: "picture", class: failure ? "stale" : null }, content()),
  );
  document.title = picture?.model ? title(picture.model, picture.view, picture.rolling) : "Counterweight";
  speak();
}

function tabs(picture) {
  const link = (model) =>
    h(
      "a",
      { "data-key": model, href: address(model, null), "aria-current": model === picture.model ? "page" : null },
      model,
      picture.rolling.includes(model) &&
        h("span.rolling", { title: "rollout in progress" }, h("span.unseen", null, " (rollout in progress)")),
    );
  return (picture?.models ?? []).map(link);
}

function pulse() {
  const { failure, seen_s, picture } = page;
  const said = failure
    ? seen_s === null
      ? "no answer"
      : `as of ${duration(now_s() - seen_s)} ago`
    : picture
      ? "live"
      : "asking";
  return h(
    "span",
    { id: "pulse", class: failure ? "off" : "on", title: seen_s === null ? null : moment(seen_s) },
    said,
  );
}

function content() {
  const { picture, failure, notice } = page;
  return [
    failure && h("p.notice.bad", { role: "alert", "data-key": "failure" }, failureSaid(failure)),
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
      !picture
        ? !failure && h("p.empty", null, "Loading …")
        : picture.model
          ? sections(picture, desk, now_s())
          : noModel(),
    ),
  ];
}

function failureSaid(failure) {
  const { seen_s } = page;
  const kept =
    seen_s === null
      ? ""
      : ` The page shows the state of ${moment(seen_s).slice(11)}, ${duration(now_s() - seen_s)} ago.`;
  if (failure.status === 401)
    return [
      `${failure.message} `,
      h("button", { type: "button", onclick: () => needToken(failure) }, "Enter the token …"),
    ];
  const said =
    failure instanceof Refused
      ? `The server says: ${failure.message}`
      : `The server does not answer: ${failure.message}.`;
  return `${said}${kept} Trying again.`;
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
function speak() {
  const view = desk.view();
  const step = view?.rollout.step ? `, step ${view.rollout.step}` : "";
  const said = view ? `${view.rollout.plan.candidate}: ${PHASES[view.rollout.phase]}${step}` : "";
  const spoken = document.getElementById("spoken");
  if (spoken.textContent !== said) spoken.textContent = said;
}

document.getElementById("token").onclick = () =>
  askForToken("Enter the token if this server needs one (it was started with --tokens).", () =>
    watch.now(),
  );
window.addEventListener("hashchange", () => watch.now());
window.addEventListener("online", () => watch.now());
// Ages must grow even if no answer arrives.
setInterval(draw, 1000);
watch.now();
